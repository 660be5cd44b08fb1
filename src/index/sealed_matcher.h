// What a term selects in a sealed index. Internal to SealedIndex. Thread-safe.
//
// Plain flows are decided from columns and address lists, all others by parsing their keys: the answer is the
// same as MatchesFlow() on every flow's key.
#pragma once

#include "base/result.h"
#include "index/flow_index.h"
#include "index/sealed_file.h"
#include "packet/term.h"

namespace steno {

// As FlowIndex::MatchAmong().
Result<FlowMatch> MatchSealed(const SealedFile& file, const Term& term, const FlowSet* candidates);

}  // namespace steno
