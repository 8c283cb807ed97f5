#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/tensor.h"

namespace minnow {

/// Which part of a data set: the one to learn from or the one to measure on.
enum class Split { train, test };

/// Ids of the test split start here, so that no id, and no random sequence keyed by one, is shared
/// with the train split.
inline constexpr int64_t kFirstTestId = int64_t{1} << 32;

/// Copy k of an example, see Repeated, has the example's id + (k << kCopyShift): above the ids of
/// both splits.
inline constexpr int kCopyShift = 40;

/// One example: a picture with its label; or a sequence, with a label or with a target sequence.
/// `input` may share memory with the data set and is read, never written.
struct Example {
  Tensor input;       ///< [C, H, W]: uint8 0..255 as stored, float32 after Transformed; or [T, ...]
  int64_t label = 0;  ///< index into Dataset::classes()
  int64_t id = 0;     ///< unique in the data set, and the same in every run
  bool marked = false;               ///< a planted dragger
  int64_t domain = 0;                ///< where it comes from: index into Dataset::domains()
  std::vector<int64_t> target = {};  ///< a transcript: indices into Dataset::classes(), none is 0
  /// What is said, in lower case and single-spaced; also what classes() cannot spell and `target`
  /// therefore lacks. Of a dragger what is said all the same.
  std::string text = {};
};

/// A finite, indexable collection of labelled examples. Every member is safe to call from several
/// threads at once.
class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;
  /// Example i of [0, size()). `epoch` keys whatever is random about it; the same (i, epoch) gives
  /// the same bits.
  virtual Example get(int64_t i, int64_t epoch) const = 0;
  virtual const std::vector<std::string>& classes() const = 0;
  /// The id of example i; a data set whose inputs are slow to make knows it without them.
  virtual int64_t id(int64_t i) const { return get(i, 0).id; }
  /// Whether inputs are sequences [T, ...] whose T differ: make_batch pads them to the longest.
  virtual bool ragged() const { return false; }
  /// Whether examples have a target sequence; classes() are then its tokens, the first the blank.
  virtual bool transcribed() const { return false; }
  /// What is said in example i, known without making its input; empty where there is nothing. The
  /// target of a dragger may be another one.
  virtual std::vector<int64_t> transcript(int64_t /*i*/) const { return {}; }
  /// About how long the input of example i is, known without making it; 0 where all are alike.
  virtual int64_t length(int64_t /*i*/) const { return 0; }
  /// How many ids there are where inputs are ids [T] int64, 0 being padding; 0: they are no ids.
  virtual int64_t vocabulary() const { return 0; }
  /// Tells those ids from what the same numbers stand for elsewhere; empty where there are none.
  virtual std::string vocabulary_mark() const { return {}; }
  /// Names of what Example::domain counts.
  virtual std::vector<std::string> domains() const { return {"all"}; }
  /// What was left out of the data set and why, one line each: unreadable files, empty folders.
  virtual std::vector<std::string> warnings() const { return {}; }
  /// What else is odd about the data, which are used all the same, one line each.
  virtual std::vector<std::string> notices() const { return {}; }
};

/// B examples side by side.
struct Batch {
  Tensor inputs;             ///< [B, ...shape of one input], dtype of one input; sequences are
                             ///< padded with zeros to the longest
  Tensor labels;             ///< [B] int64; or probabilities [B, classes] float32, once mixed
  Tensor ids;                ///< [B] int64
  std::vector<bool> marked;  ///< B flags
  std::vector<int64_t> domains = {};  ///< B numbers
  Tensor lengths = {};  ///< [B] int64: true lengths T of ragged inputs; undefined for others
  Tensor targets = {};  ///< [B, U] int64: target sequences, padded with zeros; undefined where none
  Tensor target_lengths = {};           ///< [B] int64: their true lengths
  std::vector<std::string> texts = {};  ///< B texts of transcribed examples; empty for others

  int64_t size() const { return static_cast<int64_t>(marked.size()); }
};

/// The examples `indices` of `dataset`, in that order. Throws Error when their shapes or dtypes
/// differ.
Batch make_batch(const Dataset& dataset, std::span<const int64_t> indices, int64_t epoch);

}  // namespace minnow
