"""Object stores: S3-compatible stores, and directories served over HTTP.

Start at `s3.py`. `error_codes.py` has the table of error codes; `layout.py` defines where staging
puts a model in a bucket.
"""
