"""The network: the MiniLM-L6 sentence encoder with a head of ten outputs."""

import torch
from torch import nn
from transformers import AutoModel

from corpus import OUTPUTS

MAX_TOKENS = 160


class StageModel(nn.Module):
    """Logits of the target segment's stages and of the call. The head reads the target's own words (their mean) beside the whole input's
    first token, so that the context informs and the utterance decides."""

    def __init__(self, base: str, dropout: float = 0.2):
        super().__init__()
        self.encoder = AutoModel.from_pretrained(base, attn_implementation="eager", add_pooling_layer=False)
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
