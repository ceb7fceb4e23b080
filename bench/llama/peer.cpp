// llama.cpp behind the protocol of bench/paired.mjs: MODEL THREADS, then `prefill N` and `decode N` on stdin.
#include "ggml-backend.h"
#include "llama.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

static double seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static void log_warnings(ggml_log_level level, const char* text, void*) {
  if (level >= GGML_LOG_LEVEL_WARN) std::fputs(text, stderr);
}

int main(int count, char** options) {
  if (count != 3) return 2;
  llama_log_set(log_warnings, nullptr);
  ggml_backend_load_all_from_path(std::getenv("LLAMA_LIBRARIES"));
  llama_backend_init();
  llama_model_params model_params = llama_model_default_params();
  model_params.n_gpu_layers = 0;
  llama_model* model = llama_model_load_from_file(options[1], model_params);
  if (!model) return 1;
  llama_context_params params = llama_context_default_params();
  params.n_ctx = 4096;
  params.n_batch = params.n_ubatch = 512;
  params.n_threads = params.n_threads_batch = std::atoi(options[2]);
  llama_context* context = llama_init_from_model(model, params);
  if (!context) return 1;
  std::printf("{\"ready\": true}\n");
  std::fflush(stdout);
  char what[16];
  int length;
  while (std::scanf("%15s %d", what, &length) == 2) {
    std::vector<llama_token> tokens(length);
    for (int i = 0; i < length; i++) tokens[i] = (i * 7919 + 13) % 50277;
    llama_memory_clear(llama_get_memory(context), true);
    const bool prefill = !std::strcmp(what, "prefill");
    llama_token first = 1;
    if (!prefill) llama_decode(context, llama_batch_get_one(&first, 1));
    llama_synchronize(context);
    const double start = seconds();
    if (prefill) {
      llama_decode(context, llama_batch_get_one(tokens.data(), length));
      llama_synchronize(context);
    } else {
      for (llama_token& token : tokens) {
        llama_decode(context, llama_batch_get_one(&token, 1));
        llama_synchronize(context);
      }
    }
    std::printf("{\"seconds\": %.6f}\n", seconds() - start);
    std::fflush(stdout);
  }
}
