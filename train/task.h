#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "data/dataset.h"
#include "engine/safetensors.h"
#include "nn/module.h"
#include "train/config.h"

namespace minnow {

/// What a model must know of its data, and what saved weights say of the data that they were
/// trained on.
struct DataNotes {
  std::vector<std::string> classes;  ///< names, in the order of the logits
  int64_t channels = 3;  ///< of a picture, the features of a frame, or the vocabulary of texts
  std::string vocabulary_mark = {};  ///< of texts, see Dataset; empty where weights do not say it
};
DataNotes notes_on(const Dataset& dataset);

/// Opens a split of the data that a configuration describes: float32, normalised, and augmented
/// where `training`.
std::shared_ptr<const Dataset> open_data(const Config& config, Split split, bool training);

/// The data set that open_data made `dataset` of: its pictures are uint8 and as they were stored.
/// Null where the data are no pictures.
const Dataset* stored_pictures(const Dataset& dataset);

/// What people call the examples of a data set: "pictures", "texts" or "utterances".
const char* kind_of_examples(const Dataset& dataset);

/// Says what is odd about a data set, and what it leaves out, as it becomes known.
class LeftOut {
 public:
  explicit LeftOut(std::shared_ptr<const Dataset> dataset) : dataset_(std::move(dataset)) {}
  /// Five lines at most on what has come since the last call, and one that counts the others. The
  /// first call begins with the notices of the data set.
  std::vector<std::string> news();

 private:
  std::shared_ptr<const Dataset> dataset_;
  size_t told_ = 0;
  bool noticed_ = false;
};

/// With data.normalise = "global" of speech: data.mean and data.std of each bin over 500 training
/// utterances, as they were recorded, where the configuration does not say them.
void measure_features(Config& config);

/// Replaces what the configuration leaves to the data (of pictures: model.image, data.image,
/// data.mean, data.std) by what they are. Error where the model is not one for these data.
void resolve(Config& config, const Dataset& dataset);

/// The model for the inputs and the classes of a data set; `config` is resolved.
std::unique_ptr<nn::Model> make_model(const Config& config, const DataNotes& notes);

/// Reads weights (a safetensors file or a checkpoint; `raw` as in load_weights) into a model. One
/// Error names all that does not fit; first of all another number of classes than the data have.
void load_model(nn::Model& model, const std::string& path, const Dataset& dataset,
                bool raw = false);

/// Error unless the classifier in `file`, where it has one of the model's name, has one logit for
/// each class of the data; the message ends in `hint`.
void check_classes(const Parameters& parameters, const SafetensorsFile& file,
                   const std::string& path, const Dataset& dataset, const std::string& hint = "");

/// Error where the ids of the data are not those that `notes`, of weights, tell: word pieces hang
/// on every training text. The message begins with `where`.
void check_vocabulary(const DataNotes& notes, const Dataset& dataset, const std::string& where);

/// Error unless the transcripts of the data are made of the tokens that `notes`, of weights, tell,
/// in the same order: those of word pieces hang on every training transcript. The message begins
/// with `where`. Also check_vocabulary.
void check_tokens(const DataNotes& notes, const Dataset& dataset, const std::string& where);

/// Where the run computes: config.device, with "auto" a GPU where one can be used. Error that says
/// why where config.device or config.precision can't be had. Also switches TF32 on or off.
Device compute_device(const Config& config);

/// Why "auto" does not mean a GPU here; empty where it does, or where another device was asked for.
std::string why_not_cuda(const Config& config);

/// The model's logits in float32, computed in config.precision. lengths as in Batch.
Var logits_of(const nn::Model& model, const Config& config, Tape& tape, const Tensor& inputs,
              const Tensor& lengths = {});

/// How many of the logits' frames count, for each example: [B] int64 on the host.
Tensor output_lengths(const nn::Model& model, const Tensor& lengths);

/// The losses [n] of the examples [begin, end) of a batch on the model's device: CTC of those that
/// have a transcript, otherwise cross-entropy. On a tape that records, with label smoothing and, of
/// a conformer, the share of its middle layer.
Var losses_of(const nn::Model& model, const Config& config, Tape& tape, const Batch& batch,
              int64_t begin, int64_t end);

/// Computes with config.thread_count() threads from now on.
void use_threads(const Config& config);

}  // namespace minnow
