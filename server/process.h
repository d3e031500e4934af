#pragma once

#include <string>

namespace saccade {

// Descriptors 0 to 2 that are closed become /dev/null: else the next socket would be what a message
// to stderr is written to. Before anything is opened.
void open_standard_streams();

// A model file that is cut short while it is read ends the program with a message (SIGBUS).
// Afterwards nothing points into the files (WeightMap::leave_files).
void tell_of_cut_files();

// How many connections of `wanted` the process may hold beside what it has open already, under its
// limit of descriptors, which is raised as far as that goes. At least one.
int connections_within_limit(int wanted);

// The text with '?' for every control character: one line, whoever wrote it.
std::string one_line(std::string text);

}  // namespace saccade
