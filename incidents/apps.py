from django.apps import AppConfig


class IncidentsConfig(AppConfig):
    name = "incidents"
    verbose_name = "Incidents"

    def ready(self) -> None:
        """Give the engine its duties, the outbox its audiences and monitors their counts."""
        from incidents.comms import actions, audiences, escalations, holding, queries, reminders
        from irportal.outbox import alarms, engine
        from irportal.outbox.queries import on_scrape

        audiences.register()
        engine.on_turn(holding.run_due)
        alarms.on_alarm(actions.tell_of_alarm)
        engine.on_turn(reminders.run_due)
        engine.on_turn(escalations.run_due)
        on_scrape(queries.promises)
