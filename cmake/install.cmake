# Where the Debian packages of the incumbent have things. Relative places are below the prefix, which is /usr for packages.
install(TARGETS stenographer stenotype RUNTIME DESTINATION sbin)
install(TARGETS stenoread RUNTIME DESTINATION bin)
install(PROGRAMS scripts/stenocurl DESTINATION bin)
install(PROGRAMS scripts/stenokeys DESTINATION sbin)

install(FILES README.md docs/API.md docs/ARCHITECTURE.md docs/FORMAT.md docs/OPERATIONS.md docs/PERFORMANCE.md docs/QUERY.md
        DESTINATION share/doc/stenographer)
install(FILES packaging/config.example packaging/grafana/stenographer.json packaging/prometheus/stenographer.rules.yml
              packaging/audit.schema.json
        DESTINATION share/doc/stenographer/examples)

install(FILES packaging/systemd/stenographer.service packaging/systemd/stenographer.socket DESTINATION lib/systemd/system)
install(FILES packaging/systemd/stenographer.sysusers.conf DESTINATION lib/sysusers.d RENAME stenographer.conf)
install(FILES packaging/systemd/stenographer.tmpfiles.conf DESTINATION lib/tmpfiles.d RENAME stenographer.conf)

install(DIRECTORY DESTINATION /etc/stenographer/certs)
install(FILES packaging/stenographer.logrotate DESTINATION /etc/logrotate.d RENAME stenographer)
# An installation that is there keeps its configuration.
install(CODE "
  if(NOT EXISTS \"\$ENV{DESTDIR}/etc/stenographer/config\")
    file(INSTALL \"${CMAKE_SOURCE_DIR}/packaging/config.example\" DESTINATION /etc/stenographer RENAME config)
  endif()")
