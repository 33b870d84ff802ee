"""Where the pages are."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path, re_path

from mysite import views

shop = [
    path("items/<int:number>/", views.item, name="item"),
    path("items/<int:number>/buy/", views.buy, name="buy"),
    re_path(r"^years/(?P<year>\d{4})/$", views.year, name="year"),
]

urlpatterns = [
    path("admin/", admin.site.urls),
    path("shop/", include((shop, "shop"))),
    path("rows/", views.rows),
    path("later/", views.later),
    path("whoami/", views.whoami),
    path("forbidden/", views.forbidden),
    path("broken/", views.whoami),
]
