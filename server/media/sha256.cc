#include "server/media/sha256.h"

#include <openssl/evp.h>

#include <memory>
#include <stdexcept>

namespace saccade {

ContentHash sha256(std::initializer_list<std::string_view> parts) {
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  ContentHash hash;
  bool ok = context && EVP_DigestInit_ex(context.get(), EVP_sha256(), nullptr) == 1;
  for (const std::string_view part : parts) {
    ok = ok && EVP_DigestUpdate(context.get(), part.data(), part.size()) == 1;
  }
  ok = ok && EVP_DigestFinal_ex(context.get(), hash.bytes.data(), nullptr) == 1;
  // Only an out-of-memory or a libcrypto without SHA-256 gets here; a hash that is not one would
  // let two pictures share a cache entry.
  if (!ok) throw std::runtime_error("libcrypto cannot compute SHA-256");
  return hash;
}

}  // namespace saccade
