"""Multi-head Latent Attention in plain loops, which share nothing with the graph."""

import numpy as np

__all__ = ["attend"]


def attend(config, tensors, x, angles, *, cos_gain=1.0, score_gain=1.0):
    """Return y of all tokens; `angles` [tokens, rope / 2], `config` a Hugging Face dictionary."""
    heads, kv_lora = config["num_attention_heads"], config["kv_lora_rank"]
    nope, rope, v_dim = (config[f"{name}_head_dim"] for name in ("qk_nope", "qk_rope", "v"))
    w = {name.removesuffix(".weight"): value.astype(float) for name, value in tensors.items()}
    pairs = [(2 * i, 2 * i + 1) for i in range(rope // 2)]
    if not config.get("rope_interleave", True):
        pairs = [(i, i + rope // 2) for i in range(rope // 2)]

    def norm(vector, gain):
        return gain * vector / np.sqrt(np.mean(vector**2) + 1e-6)

    def rotate(vector, token):
        out = np.empty(rope)
        for i, (a, b) in enumerate(pairs):
            z = (vector[a] + 1j * vector[b]) * cos_gain * np.exp(1j * angles[token, i])
            out[a], out[b] = z.real, z.imag
        return out

    rows, results = [], []
    for token, hidden in enumerate(x.astype(float)):
        if config["q_lora_rank"] is None:
            query = w["q_proj"] @ hidden
        else:
            query = w["q_b_proj"] @ norm(w["q_a_proj"] @ hidden, w["q_a_layernorm"])
        down = w["kv_a_proj_with_mqa"] @ hidden
        up = w["kv_b_proj"] @ norm(down[:kv_lora], w["kv_a_layernorm"])
        rows.append((up.reshape(heads, nope + v_dim), rotate(down[kv_lora:], token)))
        outputs = []
        for head, q in enumerate(query.reshape(heads, nope + rope)):
            q_rope = rotate(q[nope:], token)
            scores = np.array([
                q[:nope] @ key[head, :nope] + q_rope @ k_rope for key, k_rope in rows
            ])
            weights = np.exp(scores * score_gain / np.sqrt(nope + rope))
            weights /= weights.sum()
            outputs.append(sum(p * rows[j][0][head, nope:] for j, p in enumerate(weights)))
        results.append(w["o_proj"] @ np.concatenate(outputs))
    return np.array(results)
