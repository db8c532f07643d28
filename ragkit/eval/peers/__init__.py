"""Other libraries' chunkers as ragkit chunkers, so that they can be compared in the same run on exact spans."""

from ragkit.eval.peers.chunker import PeerChunker
from ragkit.eval.peers.named import PEERS, peer

__all__ = ["PEERS", "PeerChunker", "peer"]
