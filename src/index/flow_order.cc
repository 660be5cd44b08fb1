#include "index/flow_order.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/bytes.h"
#include "index/radix_sort.h"
#include "packet/flow_key.h"

namespace steno {
namespace {

// A flow while it is being sorted: one word of its key, and where the rest is.
struct SortRecord {
  uint64_t word;
  uint32_t id;
  uint32_t at;  // in the key heap
};
static_assert(sizeof(SortRecord) == 16);

constexpr size_t kMaxPadding = 64;  // between two parts of scratch memory
constexpr unsigned kV4Words = 2;
constexpr unsigned kV6Words = 5;
constexpr unsigned kGeneralWords = kMaxFlowKeyBytes / sizeof(uint64_t);
// How far ahead keys are fetched that lie all over the heap.
constexpr size_t kPrefetchFlows = 32;

// The intact general key at `at` in the heap, else nothing.
std::span<const uint8_t> GeneralKeyAt(const SegmentSnapshot& segment, uint32_t at) {
  if (at >= segment.key_heap.size()) return {};
  const auto rest = segment.key_heap.subspan(at, std::min(segment.key_heap.size() - at, kMaxFlowKeyBytes));
  return rest.first(FlowKeySize(FlowKind::kGeneral, rest));
}

// What a flow is sorted as: a plain flow only if its key is intact.
FlowKind KindOf(const SegmentSnapshot& segment, FlowRef ref) {
  const FlowKind kind = ref.kind();
  if (kind != FlowKind::kV4 && kind != FlowKind::kV6) return FlowKind::kGeneral;
  const size_t size = kind == FlowKind::kV4 ? kV4FlowKeyBytes : kV6FlowKeyBytes;
  const uint64_t at = ref.heap_offset();
  const bool intact = at + size <= segment.key_heap.size() && IsPlainKey(kind, segment.key_heap.data() + at);
  return intact ? kind : FlowKind::kGeneral;
}

PlainKeyTail TailAt(const uint8_t* key, size_t key_bytes) {
  PlainKeyTail tail;
  std::memcpy(&tail, key + key_bytes - sizeof tail, sizeof tail);
  return tail;
}

// Different for different tails; those of one service are together.
uint64_t TailWord(const PlainKeyTail& tail) {
  return uint64_t{tail.protocol} << 56 | uint64_t{tail.flags} << 48 | uint64_t{tail.vlan} << 32 |
         uint64_t{tail.port_a} << 16 | tail.port_b;
}

uint64_t V4Word(const uint8_t* key, unsigned word) {
  return word == 0 ? uint64_t{LoadLe<uint32_t>(key)} << 32 | LoadLe<uint32_t>(key + 4)
                   : TailWord(TailAt(key, kV4FlowKeyBytes));
}

uint64_t V6Word(const uint8_t* key, unsigned word) {
  // An address has its low half first.
  constexpr std::array<size_t, 4> kOffsets{8, 0, 24, 16};
  return word < kOffsets.size() ? LoadLe<uint64_t>(key + kOffsets[word])
                                : TailWord(TailAt(key, kV6FlowKeyBytes));
}

uint64_t GeneralWord(std::span<const uint8_t> key, unsigned word) {
  const size_t at = word * sizeof(uint64_t);
  return at < key.size() ? LoadBe<uint64_t>(key.data() + at) : 0;
}

// word_of(offset in the heap, number of the word) -> word.
template <class WordOf>
struct HeapKeys {
  unsigned words;
  WordOf word_of;
  static uint64_t Word(const SortRecord& record, unsigned) { return record.word; }
  void Load(SortRecord& record, unsigned word) const { record.word = word_of(record.at, word); }
};

class FlowSorter {
 public:
  FlowSorter(const SegmentSnapshot& segment, std::span<const FlowKind> kinds, std::span<SortRecord> other)
      : segment_(segment), kinds_(kinds), other_(other) {}

  // The flows of a kind, sorted, in `records`, which there are as many of. `key_bytes`: in which the words of
  // a key are.
  template <class WordOf>
  void Sort(FlowKind kind, size_t key_bytes, unsigned words, WordOf word_of,
            std::span<SortRecord> records) const {
    // No key was found intact outside; but the other process could change a reference since.
    const size_t heap_bytes = segment_.key_heap.size();
    const auto last = static_cast<uint32_t>(heap_bytes - std::min(key_bytes, heap_bytes));
    size_t count = 0;
    for (uint32_t id = 0; id < kinds_.size(); ++id) {
      if (kinds_[id] != kind) continue;
      const uint32_t at = std::min(segment_.flow_refs[id].heap_offset(), last);
      records[count++] = {word_of(at, 0u), id, at};
    }
    RadixSort(records, other_, HeapKeys<WordOf>{words, word_of});
  }

 private:
  const SegmentSnapshot& segment_;
  std::span<const FlowKind> kinds_;
  std::span<SortRecord> other_;
};

// Calls visit(place, key) for the keys of sorted flows.
template <class Visit>
void ForEachKey(const SegmentSnapshot& segment, std::span<const SortRecord> sorted, Visit visit) {
  const uint8_t* heap = segment.key_heap.data();
  for (size_t i = 0; i < sorted.size(); ++i) {
    __builtin_prefetch(heap + sorted[std::min(i + kPrefetchFlows, sorted.size() - 1)].at);
    visit(i, heap + sorted[i].at);
  }
}

}  // namespace

void FlowOrder::CopyGeneralKey(uint32_t flow, FlowKey& out) const {
  const bool intact =
      segment->flow_refs[ids[flow]].kind() == FlowKind::kGeneral && segment->CopyKey(ids[flow], out);
  if (intact) return;
  out.kind = FlowKind::kGeneral;
  out.size = 0;
}

Address FlowOrder::V6Second(uint32_t flow) const {
  const uint64_t at = segment->flow_refs[ids[flow]].heap_offset();
  if (at + kV6FlowKeyBytes > segment->key_heap.size()) return {};
  const uint8_t* key = segment->key_heap.data() + at;
  return Address::V6(V6Word(key, 2), V6Word(key, 3));
}

Result<FlowOrder> SortFlows(const SegmentSnapshot& segment, Scratch& scratch) {
  const size_t flows = segment.flow_refs.size();
  STENO_TRY(const auto kinds, scratch.Take<FlowKind>(flows));
  std::ranges::transform(segment.flow_refs, kinds.begin(), [&](FlowRef ref) { return KindOf(segment, ref); });
  const auto v4_count = static_cast<size_t>(std::ranges::count(kinds, FlowKind::kV4));
  const auto v6_count = static_cast<size_t>(std::ranges::count(kinds, FlowKind::kV6));
  const size_t plain_count = v4_count + v6_count;

  // While flows are sorted, the place of the result is where records are moved to and fro.
  const size_t result_bytes = flows * sizeof(uint32_t) + v4_count * sizeof(uint64_t) +
                              v6_count * sizeof(FlowOrder::V6Address) + plain_count * sizeof(PlainKeyTail);
  STENO_TRY(const auto place,
            scratch.Take<uint8_t>(std::max(flows * sizeof(SortRecord), result_bytes + 4 * kMaxPadding)));
  const Scratch::Mark temporary(scratch);
  STENO_TRY(const auto records, scratch.Take<SortRecord>(flows));
  const auto v4 = records.first(v4_count);
  const auto v6 = records.subspan(v4_count, v6_count);
  Scratch result(place);
  {
    const Scratch::Mark sorting(result);
    STENO_TRY(const auto other, result.Take<SortRecord>(flows));
    const FlowSorter sorter(segment, kinds, other);
    const uint8_t* heap = segment.key_heap.data();
    const auto v4_word = [heap](uint32_t at, unsigned word) { return V4Word(heap + at, word); };
    const auto v6_word = [heap](uint32_t at, unsigned word) { return V6Word(heap + at, word); };
    // A broken key, of whatever kind, sorts as if it had no bytes.
    const auto general_word = [&segment](uint32_t at, unsigned word) {
      return GeneralWord(GeneralKeyAt(segment, at), word);
    };
    sorter.Sort(FlowKind::kV4, kV4FlowKeyBytes, kV4Words, v4_word, v4);
    sorter.Sort(FlowKind::kV6, kV6FlowKeyBytes, kV6Words, v6_word, v6);
    sorter.Sort(FlowKind::kGeneral, 0, kGeneralWords, general_word, records.subspan(plain_count));
  }
  FlowOrder order;
  order.segment = &segment;
  STENO_TRY(order.ids, result.Take<uint32_t>(flows));
  STENO_TRY(order.v4_addresses, result.Take<uint64_t>(v4_count));
  STENO_TRY(order.v6_addresses, result.Take<FlowOrder::V6Address>(v6_count));
  STENO_TRY(order.tails, result.Take<PlainKeyTail>(plain_count));
  std::ranges::transform(records, order.ids.begin(), &SortRecord::id);
  ForEachKey(segment, v4, [&](size_t at, const uint8_t* key) {
    order.tails[at] = TailAt(key, kV4FlowKeyBytes);
    order.v4_addresses[at] = V4Word(key, 0);
  });
  ForEachKey(segment, v6, [&](size_t at, const uint8_t* key) {
    order.tails[v4_count + at] = TailAt(key, kV6FlowKeyBytes);
    order.v6_addresses[at] = {V6Word(key, 0), V6Word(key, 1)};
  });
  return order;
}

}  // namespace steno
