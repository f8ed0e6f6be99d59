"""The suite: one module a claim family, each an ordinary pytest test that measures.

A check hands what it measured to ``gate``; rules judge it afterwards. A site's own checks are
tests of the same kind in a folder of its own (`milvus-kit validate --checks FOLDER`).
"""
