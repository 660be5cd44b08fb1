// Supervisor: starts stenotype for an interface, watches it, starts it again when it ends, for ever.
// Thread-safe.
//
// When it ends while its interface does not exist, it is started again as soon as there is one of that name;
// when it asks for it (exit status EX_TEMPFAIL), at once; else after a pause that grows (RestartBackoff).
// Each start gets fresh arenas. A stenotype whose capture threads have not moved for five minutes is killed,
// so that it can be started again.
#pragma once

#include <sys/types.h>

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/result.h"
#include "index/arena.h"
#include "query/store.h"
#include "server/capture_directories.h"
#include "server/child_process.h"

namespace steno {

using ArenaList = std::vector<std::shared_ptr<const Arena>>;

struct SupervisorOptions {
  std::string stenotype_path;
  std::string interface;
  std::vector<std::string> flags;
  std::vector<StoreDirectory> directories;   // one per capture thread
  unsigned first_slot = 0;                   // the first thread's number among ...
  unsigned slots = 0;                        // ... those of all interfaces; 0: there is no other
  int64_t stall_ns = 300'000'000'000;        // no sign of life for so long: kill
  int64_t stop_grace_ns = 10'000'000'000;    // between SIGTERM and SIGKILL
  std::function<void(ArenaList)> on_arenas;  // before each start, on the supervisor's thread
  // Hidden files may have been left: stenotype ended, could not publish a file, or its disk is back. Quick.
  std::function<void()> on_leftovers;
};

struct CaptureState {
  std::string interface;
  unsigned first_slot = 0;
  bool running = false;
  bool awaits_interface = false;  // it does not exist
  pid_t pid = -1;
  uint64_t starts = 0;
  std::string last_exit;                // empty: it has not ended yet
  int64_t last_exit_ns = 0;             // wall clock
  std::vector<std::string> last_words;  // the last lines of its stderr before that
  ArenaList arenas;
  std::vector<std::string> directories;  // of packets, by thread
};

// What keeps the capture from being ready, one sentence each; empty: packets of all threads are being
// recorded.
std::vector<std::string> NotReadyReasons(const CaptureState& state, int64_t now_ns);

// What a capture thread says of its disk, if there is trouble: a sentence's part.
std::optional<std::string> DiskTroubleText(const CaptureCounters& counters);

class Supervisor {
 public:
  // Checks and makes what stenotype needs. kInvalid if stenotype_path is not an executable file; kIo if the
  // directories cannot be made.
  static Result<std::unique_ptr<Supervisor>> Prepare(SupervisorOptions options);
  ~Supervisor();  // as Stop()
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Starts stenotype, once; further starts are its own business.
  void Start();

  // Asks stenotype to end; does not wait.
  void RequestStop() { stop_.request_stop(); }
  // Ends stenotype and removes its links.
  void Stop();

  [[nodiscard]] CaptureState state() const;

 private:
  Supervisor(SupervisorOptions options, CaptureDirectories directories);

  void Run();
  std::string RunOnce();
  bool AwaitInterface();
  void Sleep(int64_t ns);
  std::string Watch(ChildProcess& child, const ArenaList& arenas);
  std::string NoteExit(const ChildProcess* child, const std::string& how);

  const SupervisorOptions options_;
  std::optional<CaptureDirectories> directories_;
  mutable std::mutex mutex_;
  CaptureState state_;  // guarded by mutex_
  std::stop_source stop_;
  std::thread thread_;  // last: it uses all of the above
};

}  // namespace steno
