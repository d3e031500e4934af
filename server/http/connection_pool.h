#pragma once

#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>

#include "server/http/connection.h"

namespace saccade::http {

// A thread for each connection, up to a number. At that number a new connection takes the place of
// the one that the server has been waiting for longest: silent and slow clients lose their places,
// they never keep others out. Who is being answered keeps its place.
class ConnectionPool {
 public:
  explicit ConnectionPool(int limit) : state_(std::make_shared<State>(limit)) {}

  // Runs `serve` on a thread of its own. False when everybody is being answered.
  bool start(std::function<void()> serve);
  void wait_until_empty();

 private:
  struct State;

 public:
  // On the connection's thread, as long as it is served: makes it known to the pool.
  class Member {
   public:
    Member(ConnectionPool& pool, Connection& connection);
    ~Member();
    Member(const Member&) = delete;
    Member& operator=(const Member&) = delete;

   private:
    const std::shared_ptr<State> state_;
    std::list<Connection*>::iterator place_;
  };

 private:
  struct State {
    explicit State(int the_limit) : limit(the_limit) {}
    // False when everybody is being answered.
    bool make_room(std::unique_lock<std::mutex>& lock);
    bool cut_longest_awaited();

    const int limit;
    std::mutex mutex;
    std::condition_variable changed;  // a thread ended, or its connection is known
    int threads = 0;
    int cut = 0;  // of their connections, those that lost their place
    std::list<Connection*> members;
  };
  std::shared_ptr<State> state_;
};

}  // namespace saccade::http
