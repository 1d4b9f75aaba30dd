"""The Hugging Face Hub: metadata, access, and reading files by ranges with retries.

Start at `client.HubClient`; `file_reader.HubFileReader` feeds uploads.
"""
