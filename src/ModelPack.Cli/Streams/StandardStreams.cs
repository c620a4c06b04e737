namespace ModelPack.Cli;

/// <summary>
/// <c>-</c> as input or output. The formats need random access, so stdin is spooled to a temporary file first and stdout is
/// copied from one at the end: a failed command writes nothing to stdout.
/// </summary>
internal static class StandardStreams
{
    public const string Dash = "-";

    /// <summary>The file to read: <paramref name="path"/> itself, or a spooled copy of stdin.</summary>
    public static SpooledSource Source(Session session, string path)
    {
        if (path != Dash)
        {
            return new SpooledSource(path, null);
        }

        string folder = Directory.CreateTempSubdirectory("modelpack-").FullName;
        try
        {
            string spooled = Path.Combine(folder, "stdin");
            using Stream input = Console.OpenStandardInput();
            using FileStream file = File.Create(spooled);
            byte[] buffer = new byte[1 << 20];
            int n;
            while ((n = Read(input, buffer, session.Cancellation)) > 0)
            {
                file.Write(buffer, 0, n);
            }

            return new SpooledSource(spooled, folder);
        }
        catch
        {
            Directory.Delete(folder, recursive: true);
            throw;
        }
    }

    /// <summary>The file to write: <paramref name="path"/> itself, or a temporary file that <see cref="SpooledSink.Complete"/> copies to stdout.</summary>
    public static SpooledSink Sink(Session session, string path)
    {
        if (path != Dash)
        {
            return new SpooledSink(path, null);
        }

        session.KeepStdoutForData();
        string folder = Directory.CreateTempSubdirectory("modelpack-").FullName;
        return new SpooledSink(Path.Combine(folder, "stdout"), folder);
    }

    /// <summary>Waits for input without missing Ctrl-C: a terminal or pipe may give nothing for a long time.</summary>
    private static int Read(Stream input, byte[] buffer, CancellationToken cancellation)
    {
        Task<int> read = Task.Run(() => input.Read(buffer), cancellation);
        read.Wait(cancellation);
        return read.Result;
    }
}
