#pragma once

#include <gtest/gtest.h>

#include <string>

#include "engine/check.h"

namespace minnow {

/// Expects `action` to throw E with a message that contains every one of `parts`.
template <class E = Error, class Action>
void expect_error(Action&& action, std::initializer_list<std::string> parts) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const E& error) {
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "expected '" << part << "' in: " << error.what();
    }
  }
}

}  // namespace minnow
