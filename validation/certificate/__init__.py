"""The certificate of a run: what was tested, by which rules and how well, signed and recomputable.

`statements` says it as in-toto Statements, `envelopes` signs them (DSSE), `verification` holds a
certificate against the run's folder and judges every gate again from the raw samples. The formats
are public: https://in-toto.io/Statement/v1 and https://github.com/secure-systems-lab/dsse.
"""

FILE = "certificate.intoto.jsonl"
"""The certificate's name in a run's folder: a bundle, one envelope a line."""
