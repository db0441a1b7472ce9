from django.apps import AppConfig


class StatuspageConfig(AppConfig):
    name = "statuspage"
    verbose_name = "Status page"

    def ready(self) -> None:
        """Give the engine its duty, and the outbox who asks and whom a complaint ends."""
        from irportal.outbox import audiences as outbox
        from irportal.outbox import engine
        from statuspage import audiences, editions, requests, subscriptions, timetable, vendors

        outbox.register("asker", audiences.asker, audiences.no_leave_url, overheard=False)
        outbox.on_leave(subscriptions.complained)
        engine.on_turn(requests.run_due)
        engine.on_turn(subscriptions.end_followers)
        engine.on_turn(vendors.run_due)
        engine.on_turn(timetable.run_due)
        engine.on_turn(editions.run_due)
