"""Does a store keep the rules of S3 that Milvus relies on? One check a rule.

Each check names the part of Milvus that needs the rule and what breaks without it. The modules
group them by topic, in three rooms; `runner.run` runs them all.
"""
