#pragma once

#include <cstdint>
#include <filesystem>

namespace minnow {

/// Decodes a JPEG or PNG file into `out`, size * size * 3 bytes as [3, size, size]: the shorter
/// side is resized to `size` (antialiased, Catmull-Rom; skipped where it fits already) and the
/// middle of the longer one is kept. Grey becomes RGB, 16 bits become 8, transparency and the
/// orientation tag are ignored. What the file holds decides, not its name. Throws Error "PATH:
/// reason" when the file cannot be read, is of another kind, is damaged or ends early.
void decode_picture(const std::filesystem::path& path, int64_t size, uint8_t* out);

/// Checks the header and the end mark of a picture without decoding it; throws as decode_picture
/// does.
void inspect_picture(const std::filesystem::path& path);

}  // namespace minnow
