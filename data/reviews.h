#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "data/word_pieces.h"

namespace minnow {

struct ReviewsOptions {
  std::vector<std::string> domains = {};  ///< their names, in the order wanted; none: all, sorted
  /// Training examples of a domain: none: all; one number for every domain; or one for each.
  std::vector<int64_t> per_domain = {};
  /// At least 1. Above: the domains get fewer training examples from the first to the last, in a
  /// geometric sequence, the first so many times as many as the last (as the long-tailed data sets
  /// of Cui et al., "Class-balanced loss", CVPR 2019).
  double imbalance = 1;
  int64_t vocabulary = 4000;   ///< word pieces
  std::string pieces = "bpe";  ///< or "unigram"
  int64_t max_tokens = 256;    ///< where a longer review ends
};

/// Reviews of several domains, each negative or positive, as FDU-MTL stores them (Liu et al.,
/// "Adversarial multi-task learning for text classification", ACL 2017): DOMAIN.task.train and
/// DOMAIN.task.test, one review a line, `0` or `1`, a tab, the text. Inputs are ids of word pieces
/// [T] int64, learnt from all training reviews of the domains, whichever of them are taken. Of a
/// domain that gives fewer than it has, the same ones are taken in every run, and among them those
/// that a smaller number takes.
class Reviews final : public Dataset {
 public:
  /// `folder` holds the files, or data/fdu-mtl/ with them. Error for a folder without, a line that
  /// is no review, a domain that is not there or has fewer examples than are wanted.
  Reviews(const std::filesystem::path& folder, Split split, const ReviewsOptions& options);

  int64_t size() const override { return static_cast<int64_t>(examples_.size()); }
  Example get(int64_t i, int64_t epoch) const override;
  const std::vector<std::string>& classes() const override;
  bool ragged() const override { return true; }
  int64_t id(int64_t i) const override { return examples_[static_cast<size_t>(i)].id; }
  int64_t vocabulary() const override { return pieces_->size(); }
  /// A checksum of the word pieces.
  std::string vocabulary_mark() const override;
  int64_t length(int64_t i) const override { return examples_[static_cast<size_t>(i)].ids.dim(0); }
  std::vector<std::string> domains() const override { return domains_; }
  /// How many lines of this split are no UTF-8.
  std::vector<std::string> notices() const override { return notices_; }
  /// Reviews without text.
  std::vector<std::string> warnings() const override { return warnings_; }

  const WordPieces& pieces() const { return *pieces_; }

 private:
  struct Stored {
    Tensor ids;  // [T]
    int64_t label = 0, id = 0, domain = 0;
  };

  std::vector<std::string> domains_;
  std::shared_ptr<const WordPieces> pieces_;
  std::vector<Stored> examples_;
  std::vector<std::string> warnings_;
  std::vector<std::string> notices_;
};

}  // namespace minnow
