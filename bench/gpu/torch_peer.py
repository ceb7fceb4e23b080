"""What PyTorch does on the same card: products of matrices, and transformers' MambaForCausalLM with random weights.

    python3 bench/gpu/torch_peer.py [--out FILE]

Where the package mamba_ssm is not installed, transformers runs its own scan, step by step; the report says which it was.
"""

import argparse
import importlib.util
import json
import statistics
import time

import torch


def events(run, runs=9, warm_ups=3):
    """Median milliseconds by the card's clock."""
    for _ in range(warm_ups):
        run()
    times = []
    for _ in range(runs):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        run()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return statistics.median(times)


def products():
    rows = []
    for m, k, n in [(4096, 4096, 4096), (16384, 768, 3072), (16384, 1536, 768)]:
        for name, dtype in [("float32", torch.float32), ("float16", torch.float16)]:
            a = torch.rand(m, k, device="cuda").sub(0.5).to(dtype)
            b = torch.rand(k, n, device="cuda").sub(0.5).to(dtype)
            took = events(lambda: a @ b)
            rows.append({"m": m, "k": k, "n": n, "precision": name, "teraflops": 2 * m * n * k / took / 1e9})
            print(f"torch.matmul {m}x{k}x{n} {name}: {took:.3f} ms, {rows[-1]['teraflops']:.1f} TFLOP/s", flush=True)
    return rows


def model():
    from transformers import MambaConfig, MambaForCausalLM

    torch.manual_seed(1)
    config = MambaConfig(hidden_size=768, num_hidden_layers=24, vocab_size=50280, state_size=16)
    net = MambaForCausalLM(config).cuda()
    report = {"fused": importlib.util.find_spec("mamba_ssm") is not None}
    for name, dtype in [("float32", torch.float32), ("bfloat16", torch.bfloat16)]:
        own = net.to(dtype).eval()
        ids = torch.randint(0, 50280, (1, 2048), device="cuda")
        with torch.no_grad():
            took = events(lambda: own(ids), runs=3, warm_ups=1)
            report[f"prefill {name}"] = 2048 / took * 1000
            print(f"transformers prefill 1 x 2048 {name}: {report[f'prefill {name}']:.0f} tokens/s", flush=True)
            for batch in [1, 64]:
                start_ids = torch.randint(0, 50280, (batch, 4), device="cuda")
                own.generate(start_ids, max_new_tokens=8, min_new_tokens=8, do_sample=False)
                torch.cuda.synchronize()
                began = time.perf_counter()
                own.generate(start_ids, max_new_tokens=64, min_new_tokens=64, do_sample=False)
                torch.cuda.synchronize()
                report[f"decode {batch} {name}"] = 64 * batch / (time.perf_counter() - began)
                print(f"transformers decode batch {batch} {name}: {report[f'decode {batch} {name}']:.0f} tokens/s", flush=True)
    own = net.float().train()
    optimizer = torch.optim.AdamW(own.parameters(), lr=1e-4, fused=True)
    ids = torch.randint(0, 50280, (1, 512), device="cuda")

    def step():
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = own(ids, labels=ids).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    torch.cuda.reset_peak_memory_stats()
    took = events(step, runs=3, warm_ups=1)
    report["training 1 x 512"] = 512 / took * 1000
    report["training peak"] = torch.cuda.max_memory_allocated()
    print(f"transformers training 1 x 512 bfloat16: {report['training 1 x 512']:.0f} tokens/s, peak {report['training peak'] / 1e9:.1f} GB")
    return report


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    options = parser.parse_args()
    report = {"card": torch.cuda.get_device_name(), "torch": torch.__version__, "products": products(), "model": model()}
    if options.out:
        with open(options.out, "w") as file:
            json.dump(report, file, indent=2)
