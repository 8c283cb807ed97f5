#include "train/report.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "data/image_table.h"
#include "engine/files.h"
#include "tests/expect_error.h"
#include "tests/temporary_folder.h"
#include "tests/train/program.h"
#include "train/report_pictures.h"
#include "train/report_svg.h"
#include "train/report_tables.h"
#include "train/run_folder.h"
#include "train/trainer.h"

namespace minnow {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Settings = std::vector<std::string>;

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

int64_t occurrences(const std::string& text, const std::string& part) {
  int64_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

/// Nothing is fetched, nothing runs, and no number is one.
void expect_self_contained(const std::string& html) {
  for (const char* part :
       {"http", "<script", "src=\"/", "@import", "url(", ">nan<", "inf<", "nan "})
    EXPECT_FALSE(contains(html, part)) << part;
}

Json step_of(int64_t step, double loss) {
  return {{"kind", "step"}, {"step", step}, {"loss", loss}, {"lr", 0.1}, {"ineligible", 0}};
}

/// A history of batches of two.
History history_of(const std::vector<Json>& records) {
  History history(2);
  for (const Json& record : records) history.add(record);
  return history;
}

/// Two grey pictures 1 x 2 with the ids 5 and 9.
ImageTable two_pictures() {
  Tensor images = Tensor::zeros({2, 1, 1, 2}, DType::uint8);
  images.data<uint8_t>()[3] = 255;
  return ImageTable(images, {0, 1}, {5, 9}, {"<cat>", "dog & \"co\""});
}

TEST(Report, TextIsEscaped) {
  EXPECT_EQ(html_escape("a<b>&\"'c"), "a&lt;b&gt;&amp;&quot;&#39;c");
}

TEST(Report, ThinningKeepsExtremesAndOrder) {
  std::vector<Point> points;
  for (int i = 0; i < 50001; ++i) points.push_back({i * 1.0, std::sin(i * 0.37)});
  points[777].y = 5;
  points[50000].y = -7;
  const std::vector<Point> kept = thinned(points);
  EXPECT_LE(kept.size(), 2000U);
  EXPECT_GE(kept.size(), 1900U);
  const auto at = [&](double x) {
    return std::count_if(kept.begin(), kept.end(), [&](const Point& p) { return p.x == x; });
  };
  EXPECT_EQ(at(777), 1);
  EXPECT_EQ(at(50000), 1);
  for (size_t i = 1; i < kept.size(); ++i) EXPECT_LT(kept[i - 1].x, kept[i].x);
  points.resize(2000);
  EXPECT_EQ(thinned(points).size(), 2000U);
  EXPECT_EQ(thinned(std::vector<Point>(5000)).size(), 1000U);  // one of equals
}

TEST(Report, PlotsOfAnyNumbers) {
  for (const std::vector<Point>& points :
       std::vector<std::vector<Point>>{{{1, 0}},
                                       {{1, 3}, {2, 3}},
                                       {{1, -1e300}, {2, 1e300}},
                                       {{1, 1e-300}, {2, 1e-200}},
                                       {{0, 1e-9}, {1000000, 12345678}}}) {
    const std::string html = draw({.title = "T", .curves = {{"c", points}}});
    EXPECT_TRUE(contains(html, "<title>T</title><desc>c: ")) << html;
    EXPECT_LE(occurrences(html, "<text"), 60);
    expect_self_contained(html);
  }
  EXPECT_EQ(draw({.title = "T", .curves = {{"c", {}}}}), "");
  EXPECT_TRUE(contains(draw({.title = "T", .curves = {{"c", {{1, 1}, {2, 9}}}}}), "logarithmic"));
  EXPECT_FALSE(contains(draw({.title = "T", .curves = {{"c", {{1, 0}, {2, 9}}}}}), "logarithmic"));
}

// A curve's height is its share of the axis: the lowest value at the bottom, the highest on top.
TEST(Report, PointsLieWhereTheyBelong) {
  const std::string linear = draw({.title = "T", .curves = {{"c", {{0, -1}, {5, 0}, {10, 3}}}}});
  EXPECT_TRUE(contains(linear, "d=\"M62.0 214.0L334.0 163.0L606.0 10.0\"")) << linear;
  const std::string log = draw({.title = "T", .curves = {{"c", {{0, 1}, {5, 10}, {10, 100}}}}});
  EXPECT_TRUE(contains(log, "d=\"M62.0 214.0L334.0 112.0L606.0 10.0\"")) << log;
}

// The test vectors of RFC 4648, 10.
TEST(Report, Base64) {
  const char* const vectors[][2] = {{"", ""},
                                    {"f", "Zg=="},
                                    {"fo", "Zm8="},
                                    {"foo", "Zm9v"},
                                    {"foob", "Zm9vYg=="},
                                    {"fooba", "Zm9vYmE="},
                                    {"\xff\xfe", "//4="}};
  for (const auto& [bytes, text] : vectors) EXPECT_EQ(base64(bytes), text);
}

TEST(Report, Thumbnails) {
  Tensor picture = Tensor::zeros({3, 2, 1}, DType::uint8);  // red above blue
  picture.data<uint8_t>()[0] = 200;
  picture.data<uint8_t>()[5] = 100;
  const std::string bmp = bmp_thumbnail(picture);
  EXPECT_EQ(bmp.substr(0, 2), "BM");
  EXPECT_EQ(bmp.size(), 54U + 2 * 4);  // rows are padded to four bytes
  EXPECT_EQ(bmp.substr(54), std::string("\x64\0\0\0\0\0\xC8\0", 8));
  Tensor wide = Tensor::zeros({1, 1, 6}, DType::uint8);
  wide.data<uint8_t>()[0] = 9;
  wide.data<uint8_t>()[5] = 255;
  EXPECT_EQ(bmp_thumbnail(wide, 2).substr(54), std::string("\x3\x3\x3\x55\x55\x55\0\0", 8));
  expect_error([&] { bmp_thumbnail(Tensor::zeros({3, 2, 1})); }, {"thumbnail", "float32"});
}

TEST(Report, ExamplesAreFoundByTheirIds) {
  Tensor images = Tensor::zeros({4, 1, 1, 1}, DType::uint8);
  const ImageTable table(images, {0, 0, 0, 0}, {3, 4, 8, 20}, {"a"});
  EXPECT_EQ(place_of(table, 3), 0);
  EXPECT_EQ(place_of(table, 4), 1);
  EXPECT_EQ(place_of(table, 8), 2);
  EXPECT_EQ(place_of(table, 20), 3);
  for (const int64_t id : {-1, 0, 5, 19, 21}) EXPECT_EQ(place_of(table, id), std::nullopt) << id;
}

TEST(Report, WhatIsAbsentOrNoNumberLeavesAGap) {
  const History history = history_of(
      {step_of(1, NAN),
       step_of(2, 0.5),
       {{"kind", "step"}, {"step", 3}, {"loss", nullptr}},
       {{"kind", "other"}, {"step", 3}},
       {{"kind", 7}, {"step", 3}},
       {{"step", 3}},
       {{"kind", "eval"}, {"step", 3}, {"top1", "high"}, {"confusion", "none"}},
       {{"kind", "step"}, {"step", 4}, {"norms", {1.0, nullptr}}, {"ids", {5}}, {"marked", "?"}}});
  EXPECT_EQ(history.records, 5);
  EXPECT_EQ(history.steps.at("loss").size(), 1U);
  EXPECT_TRUE(history.examples.empty());
  const std::string html = report_page(Config(), history, nullptr);
  expect_self_contained(html);
  EXPECT_TRUE(contains(html, "Norms of all micro-batches"));
  EXPECT_FALSE(contains(html, "Accuracy"));
  expect_self_contained(report_page(Config(), history_of({step_of(1, NAN)}), nullptr));
}

TEST(Report, ExamplesShowWhatWasSeenLast) {
  const History history = history_of(
      {{{"kind", "step"}, {"step", 1}, {"norms", {7.5, 1.25}}, {"ids", {5, 9}}, {"marked", {0, 0}}},
       {{"kind", "step"}, {"step", 2}, {"norms", {3.5, 2.5}}, {"ids", {9, 5}}, {"marked", {1, 0}}},
       {{"kind", "step"}, {"step", 3}, {"norms", {9.5}}, {"ids", {9}}}});  // a group of two
  const ImageTable pictures = two_pictures();
  const std::string html = examples_section(history, &pictures, "");
  EXPECT_EQ(occurrences(html, "data:image/bmp;base64,Qk"), 4);  // each is large and small: "BM"
  EXPECT_TRUE(contains(html, "&lt;cat&gt;<br><span class=\"note\">id 5<br>norm 2.5<br>step 2"));
  EXPECT_TRUE(contains(html, "dog &amp; &quot;co&quot; <b>(marked)</b>"));
  EXPECT_LT(html.find("id 9"), html.find("id 5"));  // the largest come first
  EXPECT_FALSE(contains(html, "<cat>"));
  const std::string without = examples_section(history, nullptr, "no folder <x>");
  EXPECT_TRUE(contains(without, "no folder &lt;x&gt;"));
  EXPECT_FALSE(contains(without, "<img"));
}

TEST(Report, ConfusionMatrix) {
  const Json record{{"confusion", {{3, 1}, {0, 4}}}, {"classes", {"<a>", "b"}}};
  const std::string html = confusion_section(record);
  EXPECT_TRUE(contains(html,
                       "<th scope=\"row\">&lt;a&gt;</th><td style=\"background:rgba(60,130,"
                       "240,0.45)\">3</td><td style=\"background:rgba(240,110,20,0.15)\">1<"));
  EXPECT_TRUE(contains(html, "<li>&lt;a&gt; for b: 1</li>"));
  EXPECT_FALSE(contains(html, "<a>"));
  EXPECT_TRUE(contains(confusion_section({{"confusion", {{0}}}}), "<th scope=\"row\">0</th>"));
  const Json large{{"confusion", std::vector<std::vector<int>>(41, std::vector<int>(41, 1))}};
  EXPECT_TRUE(contains(confusion_section(large), "41 classes are too many"));
  for (const char* matrix : {"[]", "[[1,2]]", "[1]", "[[1.5]]", "[[-1]]", "{}", "null"})
    EXPECT_EQ(confusion_section({{"confusion", Json::parse(matrix)}}), "") << matrix;
  EXPECT_EQ(confusion_section(Json()), "");
}

/// Trains in `folder`/run, with settings that win over those of a short run.
fs::path train(const fs::path& folder, const Settings& settings) {
  const fs::path run = folder / "a <run>";
  Settings all = test::tiny({"train.steps=7", "clip.rule=min", "run.dir=" + run.string()});
  all.insert(all.end(), settings.begin(), settings.end());
  const RunPlan plan = plan_run(all);
  Trainer(plan.config, plan.from).run();
  return run;
}

// Written while training, of a resumed run, and from the files afterwards: the same page.
TEST(Report, IsTheSameFromTheFiles) {
  const TemporaryFolder folder;
  const Settings settings{"log.norms=true", "data.augment=crop_flip"};
  train(folder.path(), settings);
  const fs::path run = train(folder.path(), {"train.steps=8", "run.resume=true"});
  const std::string html = read_text_file(report_path(run));
  expect_self_contained(html);
  EXPECT_TRUE(contains(html, "<h1>a &lt;run&gt;</h1>"));
  EXPECT_EQ(occurrences(html, "<img src=\"data:image/bmp;base64,"), 16);
  EXPECT_TRUE(contains(html, "Last recorded step</th><td>8, loss "));
  write_report(run, folder / "other.html");
  EXPECT_EQ(read_text_file(folder / "other.html"), html);
}

TEST(Report, IdsAreThoseOfTheFirstExamples) {
  const TemporaryFolder folder;
  const fs::path run = train(folder.path(), {"train.steps=2", "data.shuffle=false",
                                             "clip.micro_batch=12", "log.norms=true"});
  std::vector<Json> ids;
  for_each_record(read_text_file(metrics_path(run)), "", [&](std::string_view, const Json& record) {
    if (record["kind"] == "step") ids.push_back(record["ids"]);
  });
  EXPECT_EQ(ids, (std::vector<Json>{{0, 12, 24}, {32, 44, 56}}));
}

TEST(Report, OfARunWithoutEvaluations) {
  const TemporaryFolder folder;
  const fs::path run = train(folder.path(), {"train.eval_every=0", "log.every=3"});
  EXPECT_TRUE(contains(read_text_file(report_path(run)), "Last recorded step</th><td>7, loss "));
}

TEST(Report, LeftOutWhereNobodyWantsIt) {
  const TemporaryFolder folder;
  const fs::path run = train(folder.path(), {"log.report=false", "log.tensorboard=false"});
  for (const auto& entry : fs::directory_iterator(run)) {
    const std::string name = entry.path().filename().string();
    EXPECT_TRUE(name == "config.toml" || name == "metrics.jsonl" || name == "checkpoints") << name;
  }
}

TEST(Report, Command) {
  const TemporaryFolder folder;
  const auto report = [&](Settings more) {
    more.insert(more.begin(), "report");
    return test::run_minnow(folder.path(), more);
  };
  fs::create_directory(folder / "run");
  const fs::path metrics = folder / "run/metrics.jsonl", page = folder / "run/report.html";
  EXPECT_EQ(report({"missing"}).status, 2);
  EXPECT_EQ(report({"run"}).status, 2);  // no config.toml
  write_file_atomically(folder / "run/config.toml", to_toml(Config()));
  EXPECT_EQ(report({"run"}).status, 2);  // no metrics.jsonl
  for (const char* text : {"", "{\"kind\":\"step\",\"st", "{}\n"}) {
    write_file_atomically(metrics, text);
    const test::Ended ended = report({"run"});
    EXPECT_EQ(ended.status, 2);
    EXPECT_TRUE(contains(ended.err, "run/metrics.jsonl: holds no record")) << ended.err;
    EXPECT_FALSE(fs::exists(page));
  }
  write_file_atomically(metrics, step_of(1, 0.5).dump() + "\n{\"kind\":\"st");
  EXPECT_EQ(report({"run"}).status, 0);
  EXPECT_TRUE(contains(read_text_file(page), "Last recorded step</th><td>1, loss 0.5000"));
  EXPECT_EQ(report({"run", "-o", "there.html"}).status, 0);
  EXPECT_EQ(read_text_file(folder / "there.html"), read_text_file(page));
  EXPECT_EQ(report({"run", "-o", "no/there.html"}).status, 2);
  EXPECT_EQ(report({"run", "-o", "run"}).status, 2);
  write_file_atomically(metrics, "no JSON\n");
  const test::Ended ended = report({"run"});
  EXPECT_EQ(ended.status, 2);
  EXPECT_TRUE(contains(ended.err, "run/metrics.jsonl: line 1 is not a record")) << ended.err;
}

TEST(Report, SaysWhyThereAreNoPictures) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "run");
  Config config;
  config.data.set.name = "mnist";
  config.data.set.path = (folder / "gone").string();
  config.train.batch = 1;
  write_file_atomically(folder / "run/config.toml", to_toml(config));
  const Json record{{"kind", "step"}, {"step", 1}, {"norms", {0.5}}, {"ids", {3}}};
  write_file_atomically(folder / "run/metrics.jsonl", record.dump() + "\n");
  write_report(folder / "run", folder / "report.html");
  EXPECT_TRUE(contains(read_text_file(folder / "report.html"), "Without pictures: "));
}

}  // namespace
}  // namespace minnow
