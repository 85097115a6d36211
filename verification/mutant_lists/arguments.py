"""The guards of what arguments mean: flags, spans, numbers, filters, twins, and values that the server shows."""

from __future__ import annotations

from verification.mutant_lists.mutant import Mutant

EMPTY_ARGUMENTS = "tests/task/test_empty_arguments.py"
ARGUMENTS_AT_IMPORT = "tests/task/test_arguments_at_import.py"

ARGUMENT, TWINS = "tests/task/test_arguments.py", "tests/operators/test_twins.py"
FILTERS, SHOWN = "tests/waiting/test_filters.py", "tests/api/test_shown_values.py"
BACKFILL = f"{ARGUMENT}::test_a_backfill_that_may_not_buy_buys_nothing"
NO_CODE = f"{FILTERS}::test_what_cannot_be_a_code_is_a_named_mistake"
NO_NAME = f"{EMPTY_ARGUMENTS}::test_a_name_that_is_false_to_python_is_never_no_name"
HIDDEN = f"{TWINS}::test_what_may_be_a_template_may_be_the_same"

ARGUMENTS = (
    Mutant(
        "a backfill buys where a text says that it may not",
        "Execution._begin",
        'allow_backfill=task.value_of("allow_backfill"),',
        "allow_backfill=bool(task.allow_backfill),",
        BACKFILL,
    ),
    Mutant(
        "any text is true",
        "is_true",
        "_FLAGS.get(value.strip().lower()) if isinstance(value, str) else None",
        "bool(value)",
        BACKFILL,
    ),
    Mutant(
        "what is no flag is false",
        "is_true",
        '    if read is None:\n        raise ValueError("not a flag")\n',
        "    read = bool(read)\n",
        f"{ARGUMENT}::test_what_is_no_flag_is_a_named_mistake",
    ),
    Mutant(
        "a span that no date can hold",
        "seconds_of",
        "not 0 <= span <= LONGEST_DAYS * DAY",
        "not 0 <= span",
        f"{ARGUMENT}::test_what_is_no_span_is_a_named_mistake",
    ),
    Mutant(
        "True is one",
        "whole_number",
        "    if isinstance(number, bool) or not isinstance(number, int) or not -MOST",
        "    if not isinstance(number, int) or not -MOST",
        f"{ARGUMENT}::test_what_is_no_whole_number_is_a_named_mistake",
    ),
    Mutant(
        "2.0 is not 2",
        "whole_number",
        "if isinstance(number, float) and number.is_integer():",
        "if False:",
        f"{ARGUMENT}::test_a_whole_number_sends_the_same_bytes_in_whatever_way_it_is_written",
    ),
    Mutant(
        "a token that is false to Python is no token",
        "SpendingOperator.mistakes",
        "if self.client_token is not None and not",
        "if self.client_token and not",
        NO_NAME,
    ),
    Mutant(
        "a template that rendered to None left out",
        "Rendered._do_render_template_fields",
        "            self.rendered_to_nothing = tuple(name for name in given if getattr(parent, name) is None)\n",
        "            pass\n",
        f"{EMPTY_ARGUMENTS}::test_what_was_given_and_turned_out_as_nothing_is_not_left_out",
    ),
    Mutant(
        "a literal mistake found only when the task runs",
        "SpendingOperator.__init__",
        "        refuse_literals(self.task_id, self.checks, literals_of(self, SPENDING))\n",
        "",
        f"{ARGUMENTS_AT_IMPORT}::test_literal_mistakes_are_told_when_the_dag_is_imported_and_all_at_once",
    ),
    Mutant(
        "a bracket in a pattern means more than itself",
        "like",
        'fnmatchcase(text, pattern.replace("[", "[[]"))',
        "fnmatchcase(text, pattern)",
        f"{FILTERS}::test_only_stars_and_question_marks_mean_more_than_themselves",
    ),
    Mutant(
        "an empty list selects everything",
        "codes_of",
        "if not codes or not all(map(_is_code, codes)):",
        "if not all(map(_is_code, codes)):",
        NO_CODE,
    ),
    Mutant(
        "the text of a list is a code",
        "codes_of",
        "if re.fullmatch(_LIST, text) else [text]",
        "if False else [text]",
        f"{FILTERS}::test_a_list_is_the_same_however_a_template_writes_it",
    ),
    Mutant(
        "what cannot be a code selects nothing",
        "_is_code",
        "bool(re.fullmatch(_CODE, code.strip()))",
        "bool(code.strip())",
        NO_CODE,
    ),
    Mutant(
        "filters that select nothing are silent",
        "expiring",
        "logging.WARNING if found.is_odd else logging.INFO",
        "logging.INFO",
        f"{FILTERS}::test_no_green_run_that_selects_nothing_is_silent",
    ),
    Mutant(
        "a twin hidden by a template",
        "_plain",
        "return folded(value) if _PLAIN.fullmatch(folded(value)) else None",
        "return folded(value)",
        HIDDEN,
    ),
    Mutant(
        "a twin hidden by another type",
        "_plain",
        "        return str(whole_number(value))\n",
        "        return str(value)\n",
        f"{TWINS}::test_a_project_may_be_the_same_in_whatever_way_it_is_written",
    ),
    Mutant(
        "a twin hidden by what is mapped",
        "_may_agree",
        "all(one is None or other is None or one == other for one, other in pairs)",
        "all(one == other for one, other in pairs)",
        f"{TWINS}::test_what_is_mapped_may_be_the_same_and_what_is_fixed_beside_it_may_tell",
    ),
    Mutant(
        "a twin hidden by a file or by other delimiters",
        "_plain_of",
        " or _may_be_template(plain, task)",
        "",
        f"{TWINS}::test_a_file_and_delimiters_of_the_dag_s_own_may_be_anything",
    ),
    Mutant(
        "the items of a mapped task are no twins",
        "_may_have_twin_items",
        "return any(_may_agree(mine, {**mine, **item}, own) for number, item in enumerate(items) if number != place)",
        "return False",
        f"{TWINS}::test_items_of_a_mapped_task_that_surely_differ_are_no_twins",
    ),
    Mutant(
        "a year is not twelve months",
        "_months",
        "str(int(number) * months)",
        "str(number)",
        f"{TWINS}::test_items_of_a_mapped_task_that_surely_differ_are_no_twins",
    ),
    Mutant(
        "the output of a task that was cleared tells items apart",
        "_resolved",
        'if getattr(context["dag_run"], "clear_number", None) != 0:',
        "if False:",
        f"{TWINS}::test_the_output_of_another_task_tells_items_apart_unless_a_clear_may_have_changed_it",
    ),
    Mutant(
        "a project 0 that is shown counts as not shown",
        "project",
        "number != int(number) else number == sent",
        "number != int(number) else not number or number == sent",
        f"{SHOWN}::test_a_purchase_never_takes_an_order_of_another_project",
    ),
    Mutant(
        "sub-orders of several projects taken for one order",
        "can_be_one",
        "(folded(deal.zone_code), _project(deal), deal.action)",
        "(folded(deal.zone_code), deal.project_id, deal.action)",
        f"{SHOWN}::test_sub_orders_that_show_different_projects_are_not_one_order",
    ),
    Mutant(
        "a region that is shown as false counts as not shown",
        "models:_code",
        'return "" if value is None else inert(',
        'return "" if not value else inert(',
        f"{SHOWN}::test_an_instance_that_shows_something_else_is_another_one",
    ),
)
