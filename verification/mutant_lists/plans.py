"""The guards of plans: what surely sends nothing, and what a plan must not leave out."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

TASK, COMMAND = "tests/operators/test_plan.py", "tests/cli/test_plan.py"
NO_FLAG = f"{TASK}::test_a_deployments_dry_run_that_is_no_flag_buys_nothing"
COSTS_NOTHING = f"{TASK}::test_a_question_for_all_plans_leaves_out_what_costs_nothing_more"

PLANS = (
    Mutant(
        "a deployment's dry run that buys",
        "SpendingOperator.only_plans",
        "is_dry_run() or ",
        "",
        f"{TASK}::test_a_deployments_dry_run_stops_a_task_that_would_buy",
    ),
    Mutant(
        "a dry run that is no flag taken for none",
        "is_dry_run",
        "    return bool(A_FLAG.read(value))",
        '    return value == "True"',
        f"{TASK}::test_a_deployments_dry_run_stops_a_task_that_would_buy",
    ),
    Mutant(
        "a dry run that is no flag not refused",
        "is_dry_run",
        '        raise InvalidRequest(f"[{SECTION}] in Airflow\'s configuration", [mistake])\n',
        "        return False\n",
        NO_FLAG,
    ),
    Mutant(
        "a renew flag set in a dry run",
        "SetRenewalOperator.execute",
        " and not is_plan",
        "",
        f"{TASK}::test_a_deployments_dry_run_leaves_a_renew_flag_as_it_is",
    ),
    Mutant(
        "a client that only reads spends",
        "Caller.call",
        "if self._only_reads and not action.only_reads:",
        "if False:",
        f"{TASK}::test_a_client_for_waiting_cannot_spend",
    ),
    Mutant(
        "a client of a dry run that may spend",
        "client_of",
        " or is_dry_run()",
        "",
        f"{TASK}::test_a_deployments_dry_run_binds_code_that_uses_the_hook_itself",
    ),
    Mutant(
        "a client for waiting that may spend",
        "client_of",
        "only_reads or is_waiting or",
        "only_reads or",
        f"{TASK}::test_a_client_for_waiting_cannot_spend",
    ),
    Mutant(
        "a run that may not spend left out of a plan",
        "PlannedPurchase._obstacles",
        "            self._check()\n",
        "            pass\n",
        f"{TASK}::test_a_run_that_may_not_spend_is_a_finding",
    ),
    Mutant(
        "an instance that is not looked at for a plan",
        "PlannedPurchase._obstacles",
        "            self._action.observe()\n",
        "            pass\n",
        f"{TASK}::test_a_renewal_is_planned_as_the_instance_is",
    ),
    Mutant(
        "a limit that is full left out of a plan",
        "PlannedPurchase._limit",
        "            why = why_of(error)\n",
        "            pass\n",
        f"{TASK}::test_a_limit_that_would_be_exceeded_is_named_with_its_sums",
    ),
    Mutant(
        "a balance that is too low left out of a plan",
        "PlannedPurchase._balance",
        "            why = why_of(error)\n",
        "            pass\n",
        f"{TASK}::test_a_balance_that_would_fall_too_low_is_a_finding",
    ),
    Mutant(
        "an approval that is missing left out of a plan",
        "PlannedPurchase._approval",
        "            why = why_of(error)\n",
        "            pass\n",
        f"{TASK}::test_an_approval_that_is_needed_is_asked_for_and_one_that_is_given_is_named",
    ),
    Mutant(
        "a plan with the token of before a refusal",
        "PlannedPurchase._intended",
        "record.generation if record else 0",
        "0",
        f"{TASK}::test_after_a_refusal_the_plan_has_the_next_token",
    ),
    Mutant(
        "a request under way planned as over",
        "PlannedPurchase._next",
        "if not record.is_presumed and self._clock() < (quiet := self.quiet_from(record)):",
        "if (quiet := 0.0):",
        f"{TASK}::test_a_lost_answer_waits_first_and_then_adopts",
    ),
    Mutant(
        "what costs nothing more in a total",
        "plan_of",
        "[purchase for purchase in purchases if is_to_pay(purchase)]",
        "list(purchases)",
        f"{TASK}::test_a_purchase_that_was_made_is_returned_and_nothing_is_to_pay",
    ),
    Mutant(
        "what costs nothing more put to approval",
        "questions_in",
        "if not isinstance(entry, Mapping) or is_to_pay(entry)",
        "if True",
        COSTS_NOTHING,
    ),
    Mutant(
        "a code of a run that there is not",
        "plan_of_task",
        'if name.is_of_no_run(purchase["key"])',
        "if False",
        f"{COMMAND}::test_a_purchase_of_each_run_has_no_code_before_the_run",
    ),
    Mutant(
        "a template that needs a run rendered to nothing",
        "_rendered_without_run",
        "    task.dag.template_undefined = jinja2.StrictUndefined\n",
        "",
        f"{COMMAND}::test_a_dag_that_renders_what_is_missing_to_nothing_needs_a_run_all_the_same",
    ),
)
