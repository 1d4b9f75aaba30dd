"""The verb `stage`: copy a model from the Hugging Face Hub into an S3 bucket and verify every byte.

Start at `command.StageCommand` for the verb and at `engine.stage_plan` for the transfer, which
`cache` calls too. `job` builds the Kubernetes Job that runs the same code and `job_run` waits for
it. A manifest marks a commit as complete (`manifest`), a checkpoint an unfinished upload
(`checkpoint`).
"""
