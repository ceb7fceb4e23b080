// llama.cpp as a judge of files: MODEL, then commands on stdin, one line of answer each:
//   tokens HEX              ids of a text, which comes as the hexadecimal digits of its UTF-8
//   greedy COUNT ID...      so many likeliest ids after the given ones
//   quantize FILE TYPE      writes FILE with another mixture of types; 0 means well
#include "ggml-backend.h"
#include "llama.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

static void log_errors(ggml_log_level level, const char* text, void*) {
  if (level >= GGML_LOG_LEVEL_ERROR) std::fputs(text, stderr);
}

static std::string unhex(const std::string& digits) {
  std::string text;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) text += (char)std::stoi(digits.substr(i, 2), nullptr, 16);
  return text;
}

static void print_tokens(const llama_vocab* vocab, const std::string& text) {
  std::vector<llama_token> ids(text.size() + 8);
  const int count = llama_tokenize(vocab, text.data(), text.size(), ids.data(), ids.size(), false, true);
  for (int i = 0; i < count; i++) std::printf("%d ", ids[i]);
}

static void print_greedy(llama_context* context, int vocabulary, int count, std::vector<llama_token> ids) {
  llama_memory_clear(llama_get_memory(context), true);
  llama_decode(context, llama_batch_get_one(ids.data(), ids.size()));
  for (int i = 0; i < count; i++) {
    const float* logits = llama_get_logits_ith(context, -1);
    llama_token best = std::max_element(logits, logits + vocabulary) - logits;
    std::printf("%d ", best);
    llama_decode(context, llama_batch_get_one(&best, 1));
  }
}

int main(int count, char** options) {
  if (count != 2) return 2;
  llama_log_set(log_errors, nullptr);
  ggml_backend_load_all_from_path(std::getenv("LLAMA_LIBRARIES"));
  llama_backend_init();
  llama_model_params model_params = llama_model_default_params();
  model_params.n_gpu_layers = 0;
  llama_model* model = llama_model_load_from_file(options[1], model_params);
  if (!model) return 1;
  const llama_vocab* vocab = llama_model_get_vocab(model);
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 2048;
  params.n_threads = params.n_threads_batch = 1;
  llama_context* context = llama_init_from_model(model, params);
  if (!context) return 1;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream words(line);
    std::string verb, text;
    words >> verb;
    if (verb == "tokens") {
      words >> text;
      print_tokens(vocab, unhex(text));
    } else if (verb == "greedy") {
      int length;
      words >> length;
      std::vector<llama_token> ids;
      for (llama_token id; words >> id;) ids.push_back(id);
      print_greedy(context, llama_vocab_n_tokens(vocab), length, ids);
    } else if (verb == "quantize") {
      int type;
      words >> text >> type;
      llama_model_quantize_params quantize = llama_model_quantize_default_params();
      quantize.ftype = (llama_ftype)type;
      std::printf("%d", (int)llama_model_quantize(options[1], text.c_str(), &quantize));
    }
    std::printf("\n");
    std::fflush(stdout);
  }
}
