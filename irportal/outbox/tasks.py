from celery import shared_task

from irportal.outbox import engine


@shared_task(name="outbox.tick")
def tick() -> None:
    engine.run_once()
