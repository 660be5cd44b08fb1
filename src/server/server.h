// Server: everything that stenographer is, put together from a configuration: store, stenotype's supervisor,
// maintenance, queries and HTTP. Runs from Start() until it is destroyed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "server/config.h"
#include "server/reload.h"

namespace steno {

class Server {
 public:
  // Errors (a program that cannot be executed, certificates or directories that cannot be used, an address in
  // use) name the configuration key.
  // `warnings`: about the configuration, shown in /status. To be called before there are other threads.
  static Result<std::unique_ptr<Server>> Start(const ServerConfig& config,
                                               std::vector<std::string> warnings = {});
  ~Server();  // as Stop(), and waits for the upkeep of files that is in progress
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // Takes over of another configuration what can be taken over while it runs. The error names the key; then
  // all is as before.
  Result<ConfigChanges> Reload(const ServerConfig& config, std::vector<std::string> warnings = {});
  // Around reading another configuration, for the service manager.
  void BeginReload();
  void EndReload();

  // Stops listening, ends queries and stenotype. After that the process may exit at any moment: what still
  // goes on (deleting files, rebuilding an index) is safe to be cut off.
  void Stop();

 private:
  struct Impl;
  explicit Server(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace steno
