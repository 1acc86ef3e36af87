"""The console: pages over JobsService for operators.

It is an ordinary client: it uses the contract and reflection, and calls with the operator's own token. So the callers
file decides what each operator may see and do, the service redacts fields itself, and the audit log has every action
under the operator's name.
"""
