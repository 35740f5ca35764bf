"""The contract of a table: its model, columns and expressions, and how YAML becomes one."""

from data_checks.contract.model import Contract, load_contract

__all__ = ["Contract", "load_contract"]
