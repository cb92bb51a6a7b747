"""Everything that must survive: tables, transactions, audit trail, ledger."""
