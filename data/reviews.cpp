#include "data/reviews.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "data/bytes.h"
#include "data/fnv.h"
#include "data/permutation.h"
#include "data/utf8.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kTrain = ".task.train", kTest = ".task.test";
// An id is that of the line in its file, from a number of the file's own on.
constexpr int64_t kFileIds = int64_t{1} << 24;
constexpr uint64_t kFixedSeed = 0;  // not a run's seed: every run must see the same examples
constexpr double kCoverage = 0.9995;

struct Line {
  std::string text;
  int64_t label, number;  // from 0
};

struct Domain {
  std::string name;
  int64_t number;  // among all that there are, sorted
};

struct File {
  std::vector<Line> lines;
  std::vector<std::string> empty;  // what is wrong with lines that hold no text
  int64_t latin1 = 0;
};

fs::path find_folder(const fs::path& root) {
  const fs::path inside = root / "data" / "fdu-mtl";
  return fs::is_directory(inside) ? inside : root;
}

std::vector<std::string> names_in(const fs::path& folder) {
  check(fs::is_directory(folder), "reviews: {} is not a folder", folder.string());
  std::vector<std::string> names;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    if (name.ends_with(kTrain)) names.push_back(name.substr(0, name.size() - kTrain.size()));
  }
  check(!names.empty(), "reviews: {} holds no file DOMAIN{}", folder.string(), kTrain);
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<Domain> choose(const std::vector<std::string>& all,
                           const std::vector<std::string>& wanted) {
  std::vector<Domain> domains;
  for (const std::string& name : wanted.empty() ? all : wanted) {
    const auto at = std::find(all.begin(), all.end(), name);
    check(at != all.end(), "data.domains: there is no {}; there are {}", name,
          fmt::join(all, ", "));
    const bool twice = std::any_of(domains.begin(), domains.end(),
                                   [&](const Domain& domain) { return domain.name == name; });
    check(!twice, "data.domains: {} is named twice", name);
    domains.push_back({name, at - all.begin()});
  }
  return domains;
}

File read_reviews(const fs::path& path) {
  InputFile input("reviews", path);
  std::string bytes(static_cast<size_t>(input.size()), '\0');
  input.read(reinterpret_cast<uint8_t*>(bytes.data()), input.size());
  File file;
  int64_t number = 0;
  for (size_t begin = 0; begin < bytes.size(); ++number) {
    const size_t end = std::min(bytes.find('\n', begin), bytes.size());
    const std::string_view line = std::string_view(bytes).substr(begin, end - begin);
    begin = end + 1;
    const bool fits = line.size() >= 2 && (line[0] == '0' || line[0] == '1') && line[1] == '\t';
    check(fits, "reviews: {}:{}: a review is 0 or 1, a tab and text; got \"{}\"", path.string(),
          number + 1, as_utf8(line.substr(0, 20)));
    const std::string_view text = line.substr(2);
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) {
      file.empty.push_back(fmt::format("{}:{}: no text", path.string(), number + 1));
      continue;
    }
    if (!is_utf8(text)) ++file.latin1;
    file.lines.push_back({as_utf8(text), line[0] - '0', number});
  }
  return file;
}

/// How many training examples each domain gives, of those that it has.
std::vector<int64_t> counts(const std::vector<Domain>& domains, const std::vector<int64_t>& have,
                            const ReviewsOptions& options) {
  const size_t n = domains.size();
  const auto& wanted = options.per_domain;
  check(options.imbalance >= 1, "data.imbalance: must be at least 1; got {}", options.imbalance);
  check(wanted.size() <= 1 || wanted.size() == n,
        "data.per_domain: expected none, one number, or one for each of {} domains; got {}", n,
        wanted.size());
  check(options.imbalance == 1 || wanted.size() <= 1,
        "data.imbalance: {} and a data.per_domain for each domain exclude each other",
        options.imbalance);
  std::vector<int64_t> take = have;
  if (wanted.size() > 1) take = wanted;
  if (wanted.size() == 1) take.assign(n, wanted.front());
  if (options.imbalance > 1) {
    const int64_t most = wanted.empty() ? *std::min_element(have.begin(), have.end()) : wanted[0];
    for (size_t d = 0; d < n; ++d) {
      const double place = n == 1 ? 0 : static_cast<double>(d) / static_cast<double>(n - 1);
      const double share = static_cast<double>(most) * std::pow(options.imbalance, -place);
      take[d] = std::max<int64_t>(1, std::llround(share));
    }
  }
  for (size_t d = 0; d < n; ++d) {
    check(take[d] >= 1 && take[d] <= have[d],
          "data.per_domain: {} has {} training reviews, so between 1 and {}; got {}",
          domains[d].name, have[d], have[d], take[d]);
  }
  return take;
}

/// Keeps n of the lines, in their order.
void thin(std::vector<Line>& lines, int64_t n, int64_t domain) {
  const auto key = static_cast<uint64_t>(domain);
  std::vector<int64_t> chosen =
      permutation(std::ssize(lines), {kFixedSeed, stream::shuffle, key, 2});
  chosen.resize(static_cast<size_t>(n));
  std::sort(chosen.begin(), chosen.end());
  std::vector<Line> kept;
  kept.reserve(chosen.size());
  for (const int64_t i : chosen) kept.push_back(std::move(lines[static_cast<size_t>(i)]));
  lines = std::move(kept);
}

std::shared_ptr<const WordPieces> pieces_of(const std::vector<File>& files,
                                            const WordPiecesOptions& options) {
  std::vector<std::string> lines;
  for (const File& file : files) {
    for (const Line& line : file.lines) lines.push_back(line.text);
  }
  return learnt_pieces(lines, options);
}

}  // namespace

Reviews::Reviews(const fs::path& folder, Split split, const ReviewsOptions& options) {
  check(options.max_tokens >= 1, "data.max_tokens: must be positive; got {}", options.max_tokens);
  const fs::path root = find_folder(folder);
  const std::vector<Domain> chosen = choose(names_in(root), options.domains);
  const auto read_split = [&](std::string_view ending) {
    std::vector<File> files;
    files.reserve(chosen.size());
    for (const Domain& domain : chosen) {
      files.push_back(read_reviews(root / (domain.name + std::string(ending))));
    }
    return files;
  };
  std::vector<File> files = read_split(kTrain);
  std::vector<int64_t> take;  // what is wrong with it is said before the pieces are learnt
  if (split == Split::train) {
    std::vector<int64_t> have;
    have.reserve(files.size());
    for (const File& file : files) have.push_back(std::ssize(file.lines));
    take = counts(chosen, have, options);
  }
  pieces_ = pieces_of(
      files, {.vocabulary = options.vocabulary, .type = options.pieces, .coverage = kCoverage});
  if (split == Split::test) {
    files = read_split(kTest);
  } else {
    for (size_t d = 0; d < files.size(); ++d) thin(files[d].lines, take[d], chosen[d].number);
  }
  const int64_t first = split == Split::test ? kFirstTestId : 0;
  int64_t latin1 = 0;
  for (size_t d = 0; d < files.size(); ++d) {
    domains_.push_back(chosen[d].name);
    warnings_.insert(warnings_.end(), files[d].empty.begin(), files[d].empty.end());
    latin1 += files[d].latin1;
    for (const Line& line : files[d].lines) {
      std::vector<int64_t> ids = pieces_->encode(line.text);
      if (std::ssize(ids) > options.max_tokens) ids.resize(static_cast<size_t>(options.max_tokens));
      examples_.push_back({Tensor::from(ids, {std::ssize(ids)}), line.label,
                           first + chosen[d].number * kFileIds + line.number,
                           static_cast<int64_t>(d)});
    }
  }
  if (latin1 > 0) {
    notices_.push_back(
        fmt::format("{} of the reviews are no UTF-8; they are read as Latin-1", latin1));
  }
}

Example Reviews::get(int64_t i, int64_t /*epoch*/) const {
  const Stored& stored = examples_[static_cast<size_t>(i)];
  return {.input = stored.ids, .label = stored.label, .id = stored.id, .domain = stored.domain};
}

std::string Reviews::vocabulary_mark() const {
  return fmt::format("{:016x}", fnv1a(pieces_->save()));
}

const std::vector<std::string>& Reviews::classes() const {
  static const std::vector<std::string> names = {"negative", "positive"};
  return names;
}

}  // namespace minnow
