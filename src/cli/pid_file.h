/* pid_file.h - a file with the number of the process that serves, for scripts.
 *
 * Written when the process serves, so who waits for the file waits for that; at an
 * upgrade the new process puts its own in its place. Removed by who finds itself in it. */
#ifndef SWG_CLI_PID_FILE_H
#define SWG_CLI_PID_FILE_H

/* 0 or -errno. NULL path: nothing. */
int pid_file_write(const char *path);
void pid_file_remove(const char *path);

#endif
