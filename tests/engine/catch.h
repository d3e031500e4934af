#pragma once

// libtorch's logging defines CHECK too; Catch2's has to come last.
#include <ATen/ATen.h>
#undef CHECK
#include <catch2/catch_test_macros.hpp>
