"""The outbox from outside, when it is on PostgreSQL."""
import pytest

from gateway.test_outbox_control import (  # noqa: F401  pylint: disable=unused-import
    bank, run, start,
    test_a_body_that_is_no_text, test_a_dead_letter_is_dropped, test_a_dead_letter_is_retried,
    test_a_dropped_write_is_never_sent, test_all_dead_letters_at_once,
    test_one_entry_shows_names_but_no_values, test_the_commands,
    test_the_content_needs_the_token_everywhere, test_the_list_by_state_and_service,
    test_the_list_goes_page_by_page, test_the_list_has_what_waits_in_its_order,
    test_what_cannot_be_retried, test_what_is_being_sent_is_not_dropped,
    test_what_is_settled_has_no_content_any_more)
from kit.postgres import Database, Postgres


@pytest.fixture(scope="module")
def server_of_databases():
    pg = Postgres()
    yield pg
    pg.close()


@pytest.fixture
def gateway(gateway, server_of_databases, cut):  # pylint: disable=unused-argument
    """The same, with a store of its own there."""
    database = Database(server_of_databases)

    def make(*endpoints, **keys):
        return gateway(*endpoints, **{"store": database.url(), "store_lease": "2s", **keys})
    return make
