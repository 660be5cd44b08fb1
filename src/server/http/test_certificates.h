// Keys and certificates for the tests of this folder, made by the program `openssl`.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <string>

namespace steno::testing {

// For GTEST_SKIP().
inline bool CanMakeCertificates() { return std::system("openssl version > /dev/null 2>&1") == 0; }

// <directory>/<name>_key.pem, and <name>_cert.pem signed by `authority` (itself if empty).
inline void MakeCertificate(const std::string& directory, const std::string& name,
                            const std::string& authority) {
  const std::string base = directory + "/" + name;
  std::string command =
      "openssl ecparam -name prime256v1 -genkey -noout -out " + base + "_key.pem 2>/dev/null && ";
  if (authority.empty()) {
    command += "openssl req -x509 -days 2 -key " + base + "_key.pem -subj /CN=" + name + " -out " + base +
               "_cert.pem";
  } else {
    command += "openssl req -new -key " + base + "_key.pem -subj /CN=" + name +
               " | openssl x509 -req -days 2 -CA " + directory + "/" + authority + "_cert.pem -CAkey " +
               directory + "/" + authority + "_key.pem -CAcreateserial -extfile " + directory + "/ext -out " +
               base + "_cert.pem 2>/dev/null";
  }
  std::ofstream(directory + "/ext") << "subjectAltName=IP:127.0.0.1\n";
  ASSERT_EQ(std::system(command.c_str()), 0) << command;
}

}  // namespace steno::testing
