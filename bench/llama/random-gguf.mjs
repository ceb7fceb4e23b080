// Writes a GGUF file of mamba-130m's shape with random float32 weights, for timing llama.cpp: FILE.
import { closeSync, openSync, writeSync } from "node:fs";

const layers = 24;
const width = 768;
const inner = 1536;
const states = 16;
const window = 4;
const rank = 48;
const vocabulary = 50280;
const ALIGNMENT = 32;
const type = { uint32: 4, int32: 5, float32: 6, bool: 7, string: 8, array: 9 };

const bytes = (size, write) => {
  const buffer = Buffer.alloc(size);
  write(buffer);
  return buffer;
};
const uint32 = (value) => bytes(4, (buffer) => buffer.writeUInt32LE(value));
const uint64 = (value) => bytes(8, (buffer) => buffer.writeBigUInt64LE(BigInt(value)));
const float32 = (value) => bytes(4, (buffer) => buffer.writeFloatLE(value));
const string = (text) => Buffer.concat([uint64(Buffer.byteLength(text)), Buffer.from(text)]);
const array = (items, kind, encode) => Buffer.concat([uint32(kind), uint64(items.length), ...items.map(encode)]);

/** The 256 byte tokens of GPT-2's byte-level vocabulary, then made-up tokens. */
function tokens() {
  const printable = (code) =>
    (code >= 33 && code <= 126) || (code >= 161 && code <= 172) || (code >= 174 && code <= 255);
  const codes = Array.from({ length: 256 }, (_, code) => code);
  const shifted = codes.filter((code) => !printable(code)).map((_, i) => 256 + i);
  const first = [...codes.filter(printable), ...shifted].map((code) => String.fromCodePoint(code));
  const rest = Array.from({ length: vocabulary - 257 }, (_, i) => `tok${256 + i}`);
  return [...first, ...rest, "<|endoftext|>"];
}

function metadata() {
  const entries = [];
  const put = (key, kind, value) => entries.push(Buffer.concat([string(key), uint32(kind), value]));
  const number = (key, value) => put(key, type.uint32, uint32(value));
  put("general.architecture", type.string, string("mamba"));
  put("general.name", type.string, string("mamba-130m-random"));
  number("general.file_type", 0);
  number("general.quantization_version", 2);
  number("mamba.vocab_size", vocabulary);
  number("mamba.context_length", 2 ** 20);
  number("mamba.embedding_length", width);
  number("mamba.feed_forward_length", 0);
  number("mamba.attention.head_count", 0);
  number("mamba.block_count", layers);
  number("mamba.ssm.conv_kernel", window);
  number("mamba.ssm.inner_size", inner);
  number("mamba.ssm.state_size", states);
  number("mamba.ssm.time_step_rank", rank);
  put("mamba.attention.layer_norm_rms_epsilon", type.float32, float32(1e-5));
  put("mamba.ssm.dt_b_c_rms", type.bool, Buffer.from([0]));
  put("tokenizer.ggml.model", type.string, string("gpt2"));
  put("tokenizer.ggml.pre", type.string, string("gpt-2"));
  put("tokenizer.ggml.tokens", type.array, array(tokens(), type.string, string));
  const kinds = Array.from({ length: vocabulary }, (_, i) => (i === vocabulary - 1 ? 3 : 1));
  put("tokenizer.ggml.token_type", type.array, array(kinds, type.int32, uint32));
  put("tokenizer.ggml.merges", type.array, array(["t o", "to k"], type.string, string));
  for (const key of ["bos", "eos", "unknown"]) number(`tokenizer.ggml.${key}_token_id`, vocabulary - 1);
  return entries;
}

let seed = 12345;
const uniform = () => (seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32;
const bell = (scale) => () => (uniform() + uniform() + uniform() + uniform() - 2) * Math.sqrt(3) * scale;
const constant = (value) => () => value;
const stepBias = () => {
  const step = Math.exp(Math.log(0.001) + uniform() * Math.log(100));
  return step + Math.log(-Math.expm1(-step));
};

function tensors() {
  const list = [
    ["token_embd.weight", [width, vocabulary], bell(0.02)],
    ["output_norm.weight", [width], constant(1)],
  ];
  for (let i = 0; i < layers; i++) {
    list.push(
      [`blk.${i}.attn_norm.weight`, [width], constant(1)],
      [`blk.${i}.ssm_in.weight`, [width, 2 * inner], bell(0.03)],
      [`blk.${i}.ssm_conv1d.weight`, [window, inner], () => uniform() - 0.5],
      [`blk.${i}.ssm_conv1d.bias`, [inner], () => (uniform() - 0.5) / 2],
      [`blk.${i}.ssm_x.weight`, [inner, rank + 2 * states], bell(0.03)],
      [`blk.${i}.ssm_dt.weight`, [rank, inner], bell(0.08)],
      [`blk.${i}.ssm_dt.bias`, [inner], stepBias],
      [`blk.${i}.ssm_a`, [states, inner], (index) => -(1 + (index % states))],
      [`blk.${i}.ssm_d`, [inner], constant(1)],
      [`blk.${i}.ssm_out.weight`, [inner, width], bell(0.02)],
    );
  }
  return list.map(([name, shape, fill]) => ({ name, shape, fill, size: shape.reduce((a, b) => a * b, 1) }));
}

export function writeRandomGguf(path) {
  const padded = (size) => Math.ceil(size / ALIGNMENT) * ALIGNMENT;
  const entries = metadata();
  let offset = 0;
  const all = tensors();
  const infos = all.map(({ name, shape, size }) => {
    const info = Buffer.concat([string(name), uint32(shape.length), ...shape.map(uint64), uint32(0), uint64(offset)]);
    offset += padded(size * 4);
    return info;
  });
  const start = [Buffer.from("GGUF"), uint32(3), uint64(all.length), uint64(entries.length), ...entries, ...infos];
  const head = Buffer.concat(start);
  const file = openSync(path, "w");
  writeSync(file, Buffer.concat([head, Buffer.alloc(padded(head.length) - head.length)]));
  for (const { size, fill } of all) {
    const data = new Float32Array(padded(size * 4) / 4);
    for (let i = 0; i < size; i++) data[i] = fill(i);
    writeSync(file, Buffer.from(data.buffer));
  }
  closeSync(file);
}
