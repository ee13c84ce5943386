// Errors that cross into JavaScript as an Error with this message.
#pragma once

#include <cstdarg>
#include <cstdio>
#include <stdexcept>
#include <string>

namespace proofmill {

struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The device has failed so that nothing it computes from now on can be trusted.
struct DeviceLost : Error {
  using Error::Error;
};

[[noreturn]] __attribute__((format(printf, 1, 2))) inline void fail(const char* format, ...) {
  char text[1024];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  throw Error(text);
}

}  // namespace proofmill
