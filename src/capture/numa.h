// Keeping a recorder near its interface on machines of several NUMA nodes: a packet that crosses between
// nodes twice (NIC to ring, ring to disk) costs bandwidth that is scarce there.
//
// Sources: Documentation/admin-guide/mm/numa_memory_policy.rst, set_mempolicy(2), mbind(2); node numbers and
// their CPUs from /sys. Called as system calls: libnuma would be one more library for two of them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace steno {

// The node that `text` (--numa_node) means: a number; "auto", the node of the interface's device, none where
// there is no telling; or "none". kInvalid names the nodes there are.
Result<std::optional<unsigned>> FindNumaNode(const std::string& text, const std::string& interface_name);

// The numbers in a list as the kernel prints sets of CPUs, "0-3,8".
std::vector<unsigned> ParseCpuList(std::string_view text);

// The calling thread, and those that it starts from now on, run on the node's CPUs and take memory there
// while it has some (MPOL_PREFERRED). Memory that the kernel allocates for them, packet rings, comes under
// this, too. What is refused is logged and changes nothing.
void StayOnNumaNode(unsigned node);

// The same for a mapping of shared memory, whoever touches it first. Whole pages.
void PlaceOnNumaNode(unsigned node, std::span<uint8_t> memory);

}  // namespace steno
