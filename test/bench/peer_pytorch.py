"""The same search in PyTorch, as a peer to compare with: bfloat16, fused attention, random weights.

    python3 test/bench/peer_pytorch.py [shape] [seq_len] [batch]

Prints JSON: nonces per second of the forward pass alone (inputs drawn by PyTorch, last position only
through the last layer's MLP and the head), medians of five runs.
"""

import json
import statistics
import sys
import time

import torch
import torch.nn.functional as F

SHAPES = {
    "qwen3-0.6b": dict(hidden=1024, ffn=3072, layers=28, heads=16, kv_heads=8, head_dim=128, vocab=151936),
    "qwen3-8b": dict(hidden=4096, ffn=12288, layers=36, heads=32, kv_heads=8, head_dim=128, vocab=151936),
}

name = sys.argv[1] if len(sys.argv) > 1 else "qwen3-0.6b"
seq_len = int(sys.argv[2]) if len(sys.argv) > 2 else 256
batch = int(sys.argv[3]) if len(sys.argv) > 3 else 64
shape = SHAPES[name]
device, dtype = "cuda", torch.bfloat16
hidden, ffn, head_dim = shape["hidden"], shape["ffn"], shape["head_dim"]
q_width, kv_width = shape["heads"] * head_dim, shape["kv_heads"] * head_dim


def matrix(rows, columns):
    return torch.randn(rows, columns, device=device, dtype=dtype) * 0.02


layers = [
    dict(
        norm=torch.ones(hidden, device=device, dtype=dtype),
        qkv=matrix(q_width + 2 * kv_width, hidden),
        q_norm=torch.ones(head_dim, device=device, dtype=dtype),
        k_norm=torch.ones(head_dim, device=device, dtype=dtype),
        o=matrix(hidden, q_width),
        post=torch.ones(hidden, device=device, dtype=dtype),
        gate_up=matrix(2 * ffn, hidden),
        down=matrix(hidden, ffn),
    )
    for _ in range(shape["layers"])
]
head = matrix(shape["vocab"], hidden)
angles = torch.outer(
    torch.arange(seq_len, device=device), 1e6 ** -(torch.arange(0, head_dim, 2, device=device) / head_dim)
)
cos, sin = angles.cos().to(dtype), angles.sin().to(dtype)


def rope(x):
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


@torch.inference_mode()
def forward():
    x = torch.randn(batch, seq_len, hidden, device=device, dtype=dtype)
    for w in layers:
        qkv = F.rms_norm(x, (hidden,), w["norm"], 1e-6) @ w["qkv"].T
        q, k, v = qkv.split((q_width, kv_width, kv_width), -1)
        q = q.view(batch, seq_len, -1, head_dim).transpose(1, 2)
        k = k.view(batch, seq_len, -1, head_dim).transpose(1, 2)
        v = v.view(batch, seq_len, -1, head_dim).transpose(1, 2)
        q = rope(F.rms_norm(q, (head_dim,), w["q_norm"], 1e-6))
        k = rope(F.rms_norm(k, (head_dim,), w["k_norm"], 1e-6))
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + mixed.transpose(1, 2).reshape(batch, seq_len, q_width) @ w["o"].T
        if w is layers[-1]:
            x = x[:, -1:]
        gate, up = (F.rms_norm(x, (hidden,), w["post"], 1e-6) @ w["gate_up"].T).chunk(2, -1)
        x = x + (F.silu(gate) * up) @ w["down"].T
    return x[:, -1] @ head.T


for _ in range(3):
    forward()
torch.cuda.synchronize()
rates = []
for _ in range(5):
    begin, runs = time.perf_counter(), 0
    while time.perf_counter() - begin < 0.5 or runs == 0:
        for _ in range(4):
            forward()
            runs += 1
        torch.cuda.synchronize()
    rates.append(batch * runs / (time.perf_counter() - begin))
print(
    json.dumps(
        {
            "bench": "peer_pytorch",
            "shape": name,
            "seq_len": seq_len,
            "batch": batch,
            "nonces_per_second": statistics.median(rates),
            "device": torch.cuda.get_device_name(),
            "torch": torch.__version__,
        }
    )
)
