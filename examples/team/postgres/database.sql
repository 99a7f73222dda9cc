-- No superuser, so that row security keeps tenants apart for it too.
CREATE ROLE ih LOGIN;
CREATE DATABASE ih OWNER ih;
