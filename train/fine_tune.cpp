#include "train/fine_tune.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "train/checkpoint.h"
#include "train/positions.h"
#include "train/run_folder.h"
#include "train/task.h"

namespace minnow {
namespace {

/// "blocks.0.norm1." of "blocks.0.norm1.weight": everything but the last part of a name.
std::string module_of(const std::string& name) {
  return name.substr(0, name.rfind('.') + 1);
}

/// Names and shapes of those tensors that the classifier `prefix` has here and there.
std::string head_difference(const Parameters& parameters, const SafetensorsFile& file,
                            const std::string& prefix) {
  std::string text;
  for (const Parameter* p : parameters) {
    const Tensor* given = file.find(p->name);
    if (!p->name.starts_with(prefix) || given == nullptr) continue;
    text += fmt::format("{}{} {} instead of {}", text.empty() ? "" : ", ", p->name,
                        to_string(given->shape()), to_string(p->value.shape()));
  }
  return text;
}

/// Gives the position embedding in `file` the shape of the model's, where both belong to grids and
/// differ in nothing else.
void fit_positions(const Parameters& parameters, SafetensorsFile& file, const std::string& path) {
  for (const Parameter* p : parameters) {
    if (p->name != "pos_embed") continue;
    for (NamedTensor& given : file.tensors) {
      const Shape shape = given.tensor.shape();
      const int64_t from = position_grid(shape), to = position_grid(p->value.shape());
      const bool resizable = given.name == p->name && given.tensor.is_floating() && from > 0 &&
                             to > 0 && from != to && shape[2] == p->value.dim(2);
      if (!resizable) continue;
      given.tensor = resize_positions(given.tensor, to);
      const std::string said =
          fmt::format("{}: its positions are resized from a grid of {} x {} to {} x {}\n", path,
                      from, from, to, to);
      std::fputs(said.c_str(), stderr);
    }
  }
}

/// What of a name is that of its block, "layer1.0." of "layer1.0.bn2.weight" and
/// "stages.0.blocks.1." of "stages.0.blocks.1.mlp.fc1.bias", or of its module outside of a block.
std::string block_of(const std::string& name) {
  constexpr std::string_view blocks = "blocks.";
  const size_t stage = name.find(blocks);
  size_t begin = stage == std::string::npos ? 0 : stage + blocks.size();
  for (size_t end; (end = name.find('.', begin)) != std::string::npos; begin = end + 1) {
    const std::string_view part(name.data() + begin, end - begin);
    if (part.find_first_not_of("0123456789") == std::string_view::npos) {
      return name.substr(0, end + 1);
    }
  }
  return module_of(name);
}

/// Which layer of a vit a parameter belongs to; `last` that of the head.
int64_t vit_layer(const std::string& name, int64_t last) {
  constexpr std::string_view blocks = "blocks.";
  if (name.starts_with(blocks)) return std::stoll(name.substr(blocks.size())) + 1;
  const bool end =
      name.starts_with("norm.") || name.starts_with("fc_norm.") || name.starts_with("head.");
  return end ? last : 0;
}

/// The layer of every parameter, counted from 0.
std::vector<int64_t> layers_of(const Parameters& parameters, std::string_view model) {
  std::vector<int64_t> layers;
  if (model == "vit") {
    for (const Parameter* p : parameters) layers.push_back(vit_layer(p->name, 0));
    const int64_t last = *std::max_element(layers.begin(), layers.end()) + 1;
    for (size_t i = 0; i < layers.size(); ++i) layers[i] = vit_layer(parameters[i]->name, last);
    return layers;
  }
  for (size_t i = 0; i < parameters.size(); ++i) {
    const bool next = i > 0 && block_of(parameters[i]->name) != block_of(parameters[i - 1]->name);
    layers.push_back(i == 0 ? 0 : layers.back() + (next ? 1 : 0));
  }
  return layers;
}

}  // namespace

void start_from(const Parameters& parameters, const Config& config, const Dataset& dataset) {
  const std::string& path = config.init_from;
  if (path.empty()) return;
  SafetensorsFile file = load_weights(path);
  std::vector<NamedTensor> wanted = parameter_tensors(parameters);
  const std::string head = module_of(parameters.back()->name);
  if (config.init_new_head) {
    const auto of_head = [&](const NamedTensor& named) { return named.name.starts_with(head); };
    std::erase_if(wanted, of_head);
    std::erase_if(file.tensors, of_head);
  } else {
    check_classes(
        parameters, file, path, dataset,
        fmt::format(" ({}); init.new_head=true trains a new {}",
                    head_difference(parameters, file, head), head.substr(0, head.size() - 1)));
  }
  if (const auto notes = notes_in(path)) {
    check_vocabulary(*notes, dataset, path);
    if (!config.init_new_head) check_tokens(*notes, dataset, path + ", without init.new_head=true");
  }
  fit_positions(parameters, file, path);
  copy_by_name(wanted, file.tensors, path);
}

void freeze(const Parameters& parameters, std::span<const std::string> prefixes) {
  for (const std::string& prefix : prefixes) {
    bool any = false;
    for (Parameter* p : parameters) {
      if (!p->name.starts_with(prefix)) continue;
      p->trainable = false;
      any |= !p->statistic;
    }
    check(any, "optim.freeze: no weight's name begins with \"{}\"; the first is {}, the last {}",
          prefix, parameters.front()->name, parameters.back()->name);
  }
  check(std::any_of(parameters.begin(), parameters.end(), [](auto* p) { return p->trainable; }),
        "optim.freeze: nothing is left to train");
}

std::vector<double> layer_rates(const Parameters& parameters, std::string_view model,
                                double decay) {
  std::vector<double> rates(parameters.size(), 1);
  if (decay == 1) return rates;
  const std::vector<int64_t> layers = layers_of(parameters, model);
  const int64_t last = *std::max_element(layers.begin(), layers.end());
  for (size_t i = 0; i < layers.size(); ++i)
    rates[i] = std::pow(decay, static_cast<double>(last - layers[i]));
  return rates;
}

}  // namespace minnow
