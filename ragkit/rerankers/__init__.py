"""One file per way of judging how well a text answers a question (`ragkit.protocols.Reranker`)."""
