"""The network: the MiniLM-L6 sentence encoder with a head of ten outputs."""

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface, AutoModel
from transformers.masking_utils import AttentionMaskInterface, eager_mask

from corpus import OUTPUTS

MAX_TOKENS = 208
# The name under which transformers finds `attention`.
ATTENTION = "byte_dropout"


class ByteDropout(nn.Module):
    """Dropout whose mask is drawn a byte an element, `p` to the nearest 256th. PyTorch draws its masks on one core, which is more
    than a quarter of a training step on two. Follows NumPy's seed, which `train.fit` sets."""

    def __init__(self, p: float):
        super().__init__()
        self.p = p

    def forward(self, x):
        return dropped(x, self.p) if self.training else x


def dropped(x: torch.Tensor, p: float) -> torch.Tensor:
    cut = round(256 * p)
    drawn = torch.frombuffer(bytearray(np.random.bytes(x.numel())), dtype=torch.uint8).view(x.shape)
    return x * ((drawn >= cut).to(x.dtype) * (256 / (256 - cut)))


def attention(module, query, key, value, mask, scaling: float, dropout: float = 0.0, **_):
    """Scaled dot products, as transformers' "eager", with the same fast dropout."""
    weights = torch.matmul(query, key.transpose(2, 3)) * scaling
    weights = (weights if mask is None else weights + mask).softmax(-1)
    weights = dropped(weights, dropout) if dropout else weights
    return torch.matmul(weights, value).transpose(1, 2).contiguous(), weights


AttentionInterface.register(ATTENTION, attention)
AttentionMaskInterface.register(ATTENTION, eager_mask)


class StageModel(nn.Module):
    """Logits of the target segment's stages and of the call. The head reads the target's own words (their mean) beside the whole input's
    first token, so that the context informs and the utterance decides."""

    def __init__(self, base: str, dropout: float = 0.2):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(base, attn_implementation=ATTENTION, add_pooling_layer=False)
        for layer in [self.encoder.embeddings, *(part for l in self.encoder.encoder.layer for part in (l.attention.output, l.output))]:
            layer.dropout = ByteDropout(layer.dropout.p)
        size = self.encoder.config.hidden_size
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * size, len(OUTPUTS))

    def freeze(self, layers: int) -> None:
        """Keeps the word embeddings and the lowest layers as they were: what they know of English is worth more than
        what a small corpus can teach them, and it saves half the time."""
        for part in [self.encoder.embeddings, *self.encoder.encoder.layer[:layers]]:
            for parameter in part.parameters():
                parameter.requires_grad = False

    def forward(self, input_ids, attention_mask, token_type_ids):
        hidden = self.encoder(
            input_ids=input_ids, attention_mask=attention_mask, token_type_ids=token_type_ids
        ).last_hidden_state
        target = (attention_mask * (1 - token_type_ids)).unsqueeze(-1).to(hidden.dtype)
        mean = (hidden * target).sum(1) / target.sum(1).clamp(min=1.0)
        return self.head(self.dropout(torch.cat([mean, hidden[:, 0]], dim=-1)))
