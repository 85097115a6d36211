"""The guards that read limits, approvals and their connection, and the preflight that shows them."""

from verification.mutant_lists.mutant import Mutant

LIMITS, RULES = "tests/purchasing/test_limits.py", "tests/purchasing/test_money_rules.py"
FIELDS, PREFLIGHT = "tests/hooks/test_money_fields.py", "tests/cli/test_preflight.py"
ODD = f"{LIMITS}::test_an_odd_field_is_one_mistake_that_names_the_limit_and_the_field"
SPAN = f"{LIMITS}::test_a_window_begins_and_ends_where_the_calendar_says_so"
NOTHING = f"{FIELDS}::test_an_odd_value_of_a_guard_is_a_mistake_that_names_it_also_if_python_takes_it_for_nothing"

RULES_OF_MONEY = (
    Mutant("a limit of nothing", "limits:cents_of", "0 < value", "0 <= value", ODD),
    Mutant("a yes for an amount", "limits:cents_of", "type(value) is not int", "not isinstance(value, int)", ODD),
    Mutant("an empty list of limits", "_entries_of", "if not read:", "if read is None:", NOTHING),
    Mutant(
        "a slip in a field of a limit",
        "limits:_mistakes_in",
        "if name not in checks:",
        "if False:",
        f"{LIMITS}::test_a_slip_in_the_name_of_a_field_switches_no_limit_off",
    ),
    Mutant(
        "a limit without a field that it needs",
        "limits:_mistakes_in",
        "elif name in _NEEDED and name not in entry:",
        "elif False:",
        ODD,
    ),
    Mutant(
        "two limits of one name",
        "_mistakes_of_all",
        "if count > 1:",
        "if count > 2:",
        f"{LIMITS}::test_two_limits_of_one_name_are_a_mistake",
    ),
    Mutant(
        "limits in two currencies",
        "_mistakes_of_all",
        "if len(currencies) > 1:",
        "if False:",
        f"{LIMITS}::test_an_account_has_one_currency",
    ),
    Mutant(
        "a zone that each machine has its own of",
        "zone_of",
        "value in OF_THE_MACHINE or ",
        "",
        f"{LIMITS}::test_a_zone_that_is_none_everywhere_is_refused",
    ),
    Mutant(
        "a day whose first hour is counted in another one",
        "Limit.span",
        "datetime(on.year, on.month, on.day, tzinfo=tz)",
        "__import__('pendulum').datetime(on.year, on.month, on.day, tz=zone)",
        SPAN,
    ),
    Mutant(
        "approvers whom no side shares let everybody approve",
        "_both",
        "if both := tuple(name for name in one if name in other):",
        "if (both := tuple(name for name in one if name in other)) is not None:",
        f"{RULES}::test_approvers_whom_no_side_shares_are_a_mistake_and_do_not_let_everybody_approve",
    ),
    Mutant(
        "a rule of zero taken for none",
        "MoneyRules.is_in_force",
        "rule is not None",
        "rule",
        f"{RULES}::test_any_rule_is_in_force_also_one_of_zero",
    ),
    Mutant(
        "a value that Python takes for nothing is not given",
        "is_given",
        'value is not None and not (isinstance(value, str) and value == "")',
        "bool(value)",
        NOTHING,
    ),
    Mutant(
        "limits without a ledger that counts",
        "money_mistakes",
        'for name in () if extra.get("ledger_conn_id") else IN_FORCE:',
        "for name in ():",
        f"{FIELDS}::test_a_guard_without_a_ledger_in_a_database_is_a_mistake",
    ),
    Mutant(
        "a slip in the name of a guard",
        "_slips",
        "if alike := get_close_matches(name.lower(), GUARDS, 1, LIKENESS):",
        "if alike := get_close_matches(name.lower(), GUARDS, 1, 1.0):",
        f"{FIELDS}::test_a_slip_in_the_name_of_a_guard_does_not_leave_it_out",
    ),
    Mutant(
        "a purchase that loosens its connection",
        "MoneySettings.money_rules",
        "above, seconds = min(thresholds), self.approval_valid_for",
        "above, seconds = thresholds[-1], self.approval_valid_for",
        f"{FIELDS}::test_arguments_of_a_purchase_make_the_rules_stricter_and_never_looser",
    ),
    Mutant(
        "a preflight that passes although a check failed",
        "Preflight.has_passed",
        "check.result != FAILED",
        "True",
        f"{PREFLIGHT}::test_each_mistake_of_a_connection_is_a_line_and_nothing_is_sent",
    ),
    Mutant(
        "limits counted in a ledger that has failed",
        "Subject.counting_store",
        "if self.failure_of_ledger:",
        "if False:",
        f"{PREFLIGHT}::test_a_ledger_without_its_tables_fails_and_limits_are_not_tested",
    ),
    Mutant(
        "prices of another account taken for accepted",
        "price_memory",
        'prices.c.account.in_(("", account))',
        "prices.c.account.is_not(None)",
        f"{PREFLIGHT}::test_a_price_that_a_user_has_accepted_is_blocked_for_no_account",
    ),
    Mutant(
        "a least balance that the key cannot read",
        "_preflight_account:balance",
        "if least is not None:",
        "if False:",
        f"{PREFLIGHT}::test_a_least_balance_needs_the_permission_to_read_the_balance",
    ),
)
