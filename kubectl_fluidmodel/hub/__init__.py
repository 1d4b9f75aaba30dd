"""The Hugging Face Hub: revisions, file lists, access, and reading files by range.

Start at `client.py`; `file_reader.py` reads the ranges that multipart uploads are fed from.
"""
