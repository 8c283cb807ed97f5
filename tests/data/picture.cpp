#include "data/picture.h"

#include <algorithm>
#include <cmath>

#include "kernels/random.h"
#include "tests/data/files.h"
#include "tests/paths.h"

namespace minnow::data_test {
namespace {

class Picture : public testing::Test {
 protected:
  Bytes decode(const Bytes& file, int64_t size) {
    write_file(path(), file);
    Bytes out(static_cast<size_t>(3 * size * size), 77);
    decode_picture(path(), size, out.data());
    return out;
  }
  std::filesystem::path path() const { return folder_.path() / "picture.bin"; }

 private:
  TemporaryFolder folder_;
};

/// [height, width, 3]; every pixel and channel differs from its neighbours.
Bytes pattern(int width, int height) {
  Bytes pixels;
  for (int i = 0; i < width * height * 3; ++i)
    pixels.push_back(static_cast<uint8_t>(i * 37 + i / 7));
  return pixels;
}

TEST_F(Picture, KeepsThePixelsThatFit) {
  const Bytes pixels = pattern(5, 5);
  const Bytes out = decode(png(5, 5, 3, pixels), 5);
  for (size_t c = 0; c < 3; ++c) {
    for (size_t p = 0; p < 25; ++p) EXPECT_EQ(out[c * 25 + p], pixels[p * 3 + c]);
  }
}

TEST_F(Picture, KeepsTheMiddleOfTheLongerSide) {
  const Bytes wide = pattern(9, 4), tall = pattern(4, 9);
  const Bytes from_wide = decode(png(9, 4, 3, wide), 4), from_tall = decode(png(4, 9, 3, tall), 4);
  for (size_t y = 0; y < 4; ++y) {
    for (size_t x = 0; x < 4; ++x) {
      EXPECT_EQ(from_wide[16 + y * 4 + x], wide[(y * 9 + x + 2) * 3 + 1]);
      EXPECT_EQ(from_tall[16 + y * 4 + x], tall[((y + 2) * 4 + x) * 3 + 1]);
    }
  }
}

TEST_F(Picture, GreyBecomesRgb) {
  const Bytes out = decode(png(2, 2, 1, {10, 20, 30, 40}), 2);
  EXPECT_EQ(out, (Bytes{10, 20, 30, 40, 10, 20, 30, 40, 10, 20, 30, 40}));
}

TEST_F(Picture, AnyResizeKeepsAPlainColour) {
  for (int side : {1, 3, 16, 100}) {
    const Bytes out = decode(png(side, side, 3, plain(side, 200, 100, 7)), 16);
    for (size_t p = 0; p < 256; ++p) {
      ASSERT_EQ(out[p], 200) << "side " << side;
      ASSERT_EQ(out[256 + p], 100);
      ASSERT_EQ(out[512 + p], 7);
    }
  }
}

/// A symmetric, normalised filter reproduces a linear ramp, so pixel j of a fourfold reduction has
/// the ramp's value at the middle of the pixels 4j .. 4j + 3; what remains is the rounding to whole
/// numbers, 1. Away from the edges, where the filter reaches outside.
TEST_F(Picture, ReducesTheMiddleWithoutAShift) {
  Bytes ramp;
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 128; ++x) ramp.insert(ramp.end(), 3, static_cast<uint8_t>(2 * x));
  }
  const Bytes out = decode(png(128, 64, 3, ramp), 16);  // shows the columns 32 .. 95
  for (int y = 0; y < 16; ++y) {
    for (int x = 2; x < 14; ++x) {
      const double expected = 2 * (32 + 4 * x + 1.5);
      EXPECT_LE(std::abs(out[static_cast<size_t>(y * 16 + x)] - expected), 1.0) << x;
    }
  }
}

/// The kernel of Catmull and Rom, as in Keys, "Cubic convolution interpolation", 1981, with a =
/// -1/2.
double catmull_rom(double t) {
  t = std::abs(t);
  if (t < 1) return 1 + t * t * (1.5 * t - 2.5);
  return t < 2 ? 2 + t * (-4 + t * (2.5 - 0.5 * t)) : 0;
}

/// A bright line in the dark shows the filter itself, four times as wide as when nothing is
/// reduced. Its weights add up to 1, so what remains is the rounding to whole numbers, 0.5, and
/// that of float arithmetic, far below 0.01.
TEST_F(Picture, ReducesByCatmullRom) {
  Bytes line(64 * 64, 0);
  for (size_t y = 0; y < 64; ++y) line[y * 64 + 30] = 255;
  const Bytes out = decode(png(64, 64, 1, line), 16);
  for (size_t x = 0; x < 16; ++x) {
    const double weight = catmull_rom(30.5 / 4 - (static_cast<double>(x) + 0.5)) / 4;
    EXPECT_NEAR(out[8 * 16 + x], std::max(255 * weight, 0.0), 0.51) << x;
  }
}

/// One-pixel checks are above what the small picture can show. A Catmull-Rom filter four times as
/// wide weighs alternate pixels of a row almost evenly: over one row the sum of its 16 weights with
/// alternating signs is 0 by symmetry (pixel k and pixel 15 - k have the same weight and opposite
/// signs). So every pixel is the mean, 127.5, up to rounding: 1.
TEST_F(Picture, ReductionIsAntialiased) {
  Bytes checks;
  for (int y = 0; y < 64; ++y) {
    for (int x = 0; x < 64; ++x) checks.push_back((x + y) % 2 == 0 ? 255 : 0);
  }
  const Bytes out = decode(png(64, 64, 1, checks), 16);
  for (size_t y = 2; y < 14; ++y) {
    for (size_t x = 2; x < 14; ++x) EXPECT_NEAR(out[y * 16 + x], 127.5, 1.0);
  }
}

TEST_F(Picture, ReadsJpeg) {
  const Bytes out = decode(jpeg(16, 16, 3, plain(16, 200, 100, 50)), 16);
  // One colour has no frequencies to lose: the quantised mean (step 2 at this quality, so 1/8 of a
  // level a pixel) and the two colour conversions, each rounded to whole numbers with factors up
  // to 1.772, are off by less than 3.
  for (size_t p = 0; p < 256; ++p) {
    ASSERT_NEAR(out[p], 200, 3);
    ASSERT_NEAR(out[256 + p], 100, 3);
    ASSERT_NEAR(out[512 + p], 50, 3);
  }
}

/// cmyk.jpg: 16 x 16 pixels in four inks, the left half cyan, the right half yellow.
TEST_F(Picture, ReadsFourInks) {
  Bytes out(3 * 256);
  decode_picture(test::source_path("tests/data/cmyk.jpg"), 16, out.data());
  const auto near = [&](size_t pixel, int r, int g, int b) {
    return std::abs(out[pixel] - r) <= 3 && std::abs(out[256 + pixel] - g) <= 3 &&
           std::abs(out[512 + pixel] - b) <= 3;
  };
  EXPECT_TRUE(near(4 * 16 + 2, 0, 255, 255));
  EXPECT_TRUE(near(4 * 16 + 13, 255, 255, 0));
}

/// grey16.png: 8 x 8 pixels of 16 bits, the i-th 1000 i + 37.
TEST_F(Picture, KeepsTheUpperHalfOfSixteenBits) {
  Bytes out(3 * 64);
  decode_picture(test::source_path("tests/data/grey16.png"), 8, out.data());
  for (size_t p = 0; p < 64; ++p) {
    EXPECT_EQ(out[p], (1000 * p + 37) >> 8);
    EXPECT_EQ(out[128 + p], out[p]);
  }
}

TEST_F(Picture, EveryTruncationIsFound) {
  for (const Bytes& whole : {jpeg(16, 16, 3, pattern(16, 16)), png(16, 16, 3, pattern(16, 16))}) {
    EXPECT_NO_THROW(decode(whole, 16));
    for (size_t length = 0; length < whole.size(); ++length) {
      const Bytes part(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length));
      EXPECT_THROW(decode(part, 16), Error) << length << " of " << whole.size() << " bytes";
    }
  }
}

TEST_F(Picture, InspectionFindsMissingHeadsAndEnds) {
  for (const Bytes& whole : {jpeg(16, 16, 3, pattern(16, 16)), png(16, 16, 3, pattern(16, 16))}) {
    write_file(path(), whole);
    EXPECT_NO_THROW(inspect_picture(path()));
    for (const size_t length : {size_t{0}, size_t{1}, size_t{20}, whole.size() - 16}) {
      write_file(path(), Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(length)));
      EXPECT_THROW(inspect_picture(path()), Error) << length;
    }
  }
}

/// A JPEG may carry long comments before its size.
TEST_F(Picture, InspectionReadsOnPastLongMetadata) {
  Bytes file = jpeg(16, 16, 3, pattern(16, 16));
  Bytes comment{0xff, 0xfe, 0xff, 0xff};
  comment.resize(2 + 0xffff, 'x');
  file.insert(file.begin() + 2, comment.begin(), comment.end());
  file.insert(file.begin() + 2, comment.begin(), comment.end());
  write_file(path(), file);
  EXPECT_NO_THROW(inspect_picture(path()));
  EXPECT_NO_THROW(decode(file, 16));
}

TEST_F(Picture, ErrorsNameTheFileAndTheReason) {
  expect_error([&] { decode({}, 8); }, {"picture.bin", "empty"});
  expect_error([&] { decode({'h', 'e', 'l', 'l', 'o'}, 8); }, {"picture.bin", "neither a JPEG"});
  expect_error([&] { decode_picture(path().parent_path() / "none.jpg", 8, nullptr); },
               {"none.jpg"});
  Bytes huge = png(1, 1, 3, {1, 2, 3});
  for (const size_t side : {size_t{16}, size_t{20}}) {  // where width and height are written
    huge[side + 2] = 17000 >> 8;
    huge[side + 3] = 17000 & 255;
  }
  expect_error([&] { decode(huge, 8); }, {"picture.bin", "17000 x 17000", "pixels"});
  expect_error([&] { decode(png(65536, 1, 1, Bytes(65536)), 8); }, {"picture.bin", "65536 x 1"});
}

/// A header alone must not make a decoder fill gigabytes.
TEST_F(Picture, FewBytesHoldFewPixels) {
  Bytes small = jpeg(8, 8, 3, plain(8, 9, 9, 9));
  const Bytes frame{0xff, 0xc0, 0, 17, 8};
  const auto place = std::search(small.begin(), small.end(), frame.begin(), frame.end());
  ASSERT_NE(place, small.end());
  for (int at : {5, 7}) place[at] = 0x20;  // height and width: 0x2008
  expect_error([&] { decode(small, 8); }, {"picture.bin", "ends early", "8200 x 8200"});
}

/// stb would write past its tables; every way to put such a table before it must be closed.
TEST_F(Picture, OversizedHuffmanTables) {
  const Bytes whole = jpeg(16, 16, 3, pattern(16, 16));
  Bytes table{0xff, 0xc4, 0, 19, 0};  // marker, length, table 0, and the counts of 16 code lengths
  table.resize(5 + 16, 255);
  const auto with = [&](size_t at, const Bytes& inserted) {
    Bytes bytes = whole;
    bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(at), inserted.begin(), inserted.end());
    return bytes;
  };
  Bytes short_segment = table, padded{0, 7}, filled{0xff, 0xff};
  short_segment[3] = 3;
  padded.insert(padded.end(), table.begin(), table.end());
  filled.insert(filled.end(), table.begin(), table.end());
  for (const Bytes& inserted : {table, short_segment, padded, filled}) {
    expect_error([&] { decode(with(2, inserted), 16); }, {"Huffman table with 4080 codes"});
    expect_error([&] { decode(with(whole.size() - 2, inserted), 16); }, {"Huffman table"});
    Bytes after_fill = with(2, inserted);
    after_fill.insert(after_fill.begin(), 0xff);
    expect_error([&] { decode(after_fill, 16); }, {"Huffman table"});
  }
}

/// Damage may go unnoticed, but it must never do worse than an Error; meant for a run under
/// AddressSanitizer.
TEST_F(Picture, DamageNeverCrashes) {
  RandomSequence random({7, stream::synthesise, 0, 0});
  for (const Bytes& whole : {jpeg(16, 16, 3, pattern(16, 16)), png(16, 16, 3, pattern(16, 16))}) {
    int readable = 0;
    for (int trial = 0; trial < 1000; ++trial) {
      Bytes damaged = whole;
      for (int k = 0; k < 3; ++k) {
        const int64_t at = random.below(static_cast<int64_t>(damaged.size()));
        damaged[static_cast<size_t>(at)] = static_cast<uint8_t>(random.word());
      }
      try {
        decode(damaged, 16);
        ++readable;
      } catch (const Error&) {
      }
    }
    EXPECT_LT(readable, 1000);
  }
}

}  // namespace
}  // namespace minnow::data_test
