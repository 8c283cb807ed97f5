#include "data/imagefolder.h"

#include <algorithm>
#include <cctype>
#include <functional>
#include <utility>

#include "data/hold_out.h"
#include "data/parallel.h"
#include "data/picture.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;

bool is_hidden(const fs::path& path) {
  return path.filename().string().starts_with('.');
}

bool is_picture(const fs::path& path) {
  std::string extension = path.extension().string();
  std::transform(extension.begin(), extension.end(), extension.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return !is_hidden(path) && (extension == ".jpg" || extension == ".jpeg" || extension == ".png");
}

/// What `keep` accepts in a folder, in the order of the names.
std::vector<fs::path> sorted_entries(const fs::path& folder,
                                     const std::function<bool(const fs::directory_entry&)>& keep) {
  std::vector<fs::path> found;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (keep(entry)) found.push_back(entry.path());
    }
  } catch (const fs::filesystem_error& failure) {
    throw Error(
        fmt::format("imagefolder: cannot list {}: {}", folder.string(), failure.code().message()));
  }
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<std::string> class_names(const fs::path& folder) {
  std::vector<std::string> names;
  for (const fs::path& path : sorted_entries(folder, [](const fs::directory_entry& entry) {
         return entry.is_directory() && !is_hidden(entry.path());
       })) {
    names.push_back(path.filename().string());
  }
  return names;
}

/// Where the splits of a data set lie; both the same where it has none.
struct Layout {
  fs::path train, test;
};

Layout find_layout(const fs::path& root) {
  const auto is_split = [](const fs::path& folder) {
    return fs::is_directory(folder) && !class_names(folder).empty();
  };
  Layout layout;
  if (is_split(root / "train")) layout.train = root / "train";
  for (const char* name : {"val", "test"}) {
    if (is_split(root / name)) layout.test = root / name;
  }
  if (layout.train.empty() && layout.test.empty()) return {root, root};
  if (layout.test.empty()) layout.test = layout.train;
  return layout;
}

}  // namespace

ImageFolder::ImageFolder(const std::string& path, Split split, const ImageFolderOptions& options)
    : size_(options.size) {
  check(!path.empty(), "imagefolder: needs data.path, a folder with one folder per class");
  check(size_ > 0, "imagefolder: needs the side of the pictures, in pixels; got {}", size_);
  check(fs::is_directory(path), "imagefolder: no folder at {}", path);
  const Layout layout = find_layout(path);
  const fs::path folder = split == Split::train ? layout.train : layout.test;
  check(!folder.empty(), "imagefolder: {} has no folder `train` beside {}", path,
        layout.test.string());
  const fs::path class_folder = layout.train.empty() ? layout.test : layout.train;
  classes_ = class_names(class_folder);
  check(!classes_.empty(), "imagefolder: {} holds no class folders", class_folder.string());
  check(classes_.size() >= 2,
        "imagefolder: {} must hold at least 2 class folders; it holds only {}",
        class_folder.string(), classes_[0]);
  list_files(folder, split == Split::test ? kFirstTestId : 0);
  if (layout.train == layout.test) {
    std::erase_if(files_, [&](const File& file) { return !held_for(split, file.id); });
  }

  const int64_t bytes = size() * 3 * size_ * size_;
  if (bytes <= options.cache_bytes) cache_ = Tensor::empty({size(), 3, size_, size_}, DType::uint8);
  check_files(options.threads);
  check(!files_.empty(), "imagefolder: no readable .jpg, .jpeg or .png picture in {}{}{}",
        folder.string(),
        warnings_.empty() ? "" : "; first: ", warnings_.empty() ? "" : warnings_.front());
}

void ImageFolder::list_files(const fs::path& folder, int64_t first_id) {
  for (const std::string& name : class_names(folder)) {
    const auto known = std::find(classes_.begin(), classes_.end(), name);
    check(known != classes_.end(),
          "imagefolder: {} has the class {}, which the train split has not", folder.string(), name);
    const auto files = sorted_entries(folder / name, [](const fs::directory_entry& entry) {
      return is_picture(entry.path()) && !entry.is_directory();
    });
    if (files.empty()) {
      warnings_.push_back(fmt::format("{}: no .jpg, .jpeg or .png file", (folder / name).string()));
    }
    for (const fs::path& file : files) {
      files_.push_back({file, known - classes_.begin(), first_id + size()});
    }
  }
}

void ImageFolder::check_files(int64_t threads) {
  std::vector<std::string> reasons(files_.size());
  const int64_t row = 3 * size_ * size_;
  parallel_for(size(), threads, [&](int64_t i) {
    try {
      if (cached()) {
        decode_picture(file(i), size_, cache_.data<uint8_t>() + i * row);
      } else {
        inspect_picture(file(i));
      }
    } catch (const Error& failure) {
      reasons[static_cast<size_t>(i)] = failure.what();
    }
  });
  std::vector<File> readable;
  for (size_t i = 0; i < files_.size(); ++i) {
    if (reasons[i].empty()) {
      rows_.push_back(static_cast<int64_t>(i));
      readable.push_back(std::move(files_[i]));
    } else {
      warnings_.push_back(std::move(reasons[i]));
    }
  }
  files_ = std::move(readable);
}

std::vector<std::string> ImageFolder::warnings() const {
  const std::lock_guard lock(mutex_);
  return warnings_;
}

/// [3, size, size], or undefined where the picture is damaged.
Tensor ImageFolder::decode(int64_t i) const {
  if (cached()) {
    const int64_t row = rows_[static_cast<size_t>(i)];
    return cache_.slice(row, row + 1).reshape({3, size_, size_});
  }
  Tensor input = Tensor::empty({3, size_, size_}, DType::uint8);
  try {
    decode_picture(file(i), size_, input.data<uint8_t>());
  } catch (const Error& failure) {
    const std::lock_guard lock(mutex_);
    if (damaged_.insert(i).second) warnings_.emplace_back(failure.what());
    return {};
  }
  return input;
}

Example ImageFolder::get(int64_t i, int64_t /*epoch*/) const {
  check(i >= 0 && i < size(), "imagefolder: example {} of {}", i, size());
  for (int64_t next = i; next < i + size(); ++next) {
    const int64_t j = next % size();
    Tensor input = decode(j);
    const File& file = files_[static_cast<size_t>(j)];
    if (input.defined()) return {std::move(input), file.label, file.id, false};
  }
  throw Error(
      fmt::format("imagefolder: no picture can be read any more; first: {}", warnings().front()));
}

}  // namespace minnow
