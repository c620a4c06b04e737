using System.Diagnostics;
using System.Globalization;
using System.Text.Json;
using Microsoft.Build.Framework;
using MSBuildTask = Microsoft.Build.Utilities.Task;

namespace ModelPack.MSBuild;

/// <summary>
/// Brings artifacts and classes up to date, several models at a time, each by a process of the tool. Both appear whole or not at all: the tool writes into a
/// folder that is removed whatever happens, and finished files are moved to their place.
/// </summary>
public sealed class CompilePackedModels : MSBuildTask, ICancelableTask, IDisposable
{
    private static readonly TimeSpan LockPoll = TimeSpan.FromMilliseconds(50);
    private readonly CancellationTokenSource _cancel = new();

    /// <summary>Items made by <see cref="PlanPackedModels"/>.</summary>
    [Required]
    public ITaskItem[] Models { get; set; } = [];

    /// <summary>modelpack.dll.</summary>
    [Required]
    public string Tool { get; set; } = "";

    /// <summary>The <c>dotnet</c> that runs it.</summary>
    [Required]
    public string Host { get; set; } = "";

    /// <summary>Full path of the project file.</summary>
    [Required]
    public string ProjectFile { get; set; } = "";

    /// <summary>Models compiled at the same time; 0 for a number that suits the machine.</summary>
    public int Parallelism { get; set; }

    /// <summary>Write a class for every model that has a graph.</summary>
    public bool WriteClasses { get; set; }

    /// <summary>Classes, as far as there are any, to be compiled with the project.</summary>
    [Output]
    public ITaskItem[] Classes { get; set; } = [];

    /// <inheritdoc/>
    public void Cancel() => _cancel.Cancel();

    /// <inheritdoc/>
    public void Dispose() => _cancel.Dispose();

    /// <inheritdoc/>
    public override bool Execute()
    {
        long start = Stopwatch.GetTimestamp();
        PlannedModel[] stale = [.. Models.Select(PlannedModel.FromItem).Where(m => !IsCurrent(m))];
        Log.LogMessage(MessageImportance.Low, "{0} of {1} models are up to date, {2:0.0} ms", Models.Length - stale.Length, Models.Length, Stopwatch.GetElapsedTime(start).TotalMilliseconds);
        try
        {
            int parallelism = Math.Min(Parallelism > 0 ? Parallelism : Math.Clamp(Environment.ProcessorCount / 2, 1, 4), Math.Max(1, stale.Length));
            int threads = Math.Max(1, Environment.ProcessorCount / parallelism);
            Parallel.ForEach(stale, new ParallelOptions { MaxDegreeOfParallelism = parallelism, CancellationToken = _cancel.Token }, model => Bring(model, threads));
        }
        catch (OperationCanceledException)
        {
            return false;
        }

        Classes = WriteClasses ? [.. Models.Where(m => File.Exists(m.GetMetadata(nameof(PlannedModel.Wrapper)))).Select(m => new Microsoft.Build.Utilities.TaskItem(m.GetMetadata(nameof(PlannedModel.Wrapper))))] : [];
        return !Log.HasLoggedErrors;
    }

    private bool IsCurrent(PlannedModel model)
    {
        try
        {
            if (CompileStamp.Read(model.Stamp) is not CompileStamp stamp || (WriteClasses && !stamp.ClassesAsked) || !stamp.IsCurrent(TimeProvider.System, out CompileStamp refreshed, _cancel.Token))
            {
                return false;
            }

            if (!ReferenceEquals(stamp, refreshed))
            {
                refreshed.Write(model.Stamp);
            }

            return true;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Another build is at it, or a file went away meanwhile: look again when it is our turn.
            return false;
        }
        catch (OperationCanceledException)
        {
            return true;
        }
    }

    private void Bring(PlannedModel model, int threads)
    {
        try
        {
            using FileStream turn = WaitForTurn(model);
            if (!IsCurrent(model))
            {
                Compile(model, threads);
            }
        }
        catch (ToolException e)
        {
            Diagnostics.Error(Log, e.Code, e.Path ?? model.Model, e.Message);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Diagnostics.Error(Log, ErrorCodes.ToolFailed, model.Model, e.Message);
        }
    }

    /// <summary>Frameworks and configurations of a project are built at the same time and share artifacts: the first compiles, the others wait.</summary>
    private FileStream WaitForTurn(PlannedModel model)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(model.Artifact)!);
        while (true)
        {
            _cancel.Token.ThrowIfCancellationRequested();
            try
            {
                return new FileStream(model.Artifact + ".lock", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException e) when (e is not (DirectoryNotFoundException or PathTooLongException))
            {
                _cancel.Token.WaitHandle.WaitOne(LockPoll);
            }
        }
    }

    private void Compile(PlannedModel model, int threads)
    {
        long start = Stopwatch.GetTimestamp();
        string folder = Path.GetDirectoryName(model.Artifact)!;
        foreach (string left in Directory.EnumerateDirectories(folder, "tmp-*"))
        {
            // Of a build that was ended by force: ours is the turn, so nobody is at work in it.
            Directory.Delete(left, recursive: true);
        }

        string work = Directory.CreateDirectory(Path.Combine(folder, "tmp-" + Environment.ProcessId.ToString(CultureInfo.InvariantCulture))).FullName;
        try
        {
            CompileStamp inputs = CompileStamp.Of([model.Model, .. model.OtherInputs], TimeProvider.System, _cancel.Token);
            string artifact = Path.Combine(work, Path.GetFileName(model.Artifact));
            string wrapper = Path.Combine(work, Path.GetFileName(model.Wrapper));
            string[] classArguments = WriteClasses ? ["--wrapper", wrapper, "--wrapper-class", model.ClassName, "--wrapper-file", model.Link] : [];
            JsonElement result = ToolProcess.Run(
                Host,
                Tool,
                ["compile", model.Model, .. model.Arguments, "-o", artifact, .. classArguments, "--threads", threads.ToString(CultureInfo.InvariantCulture)],
                _cancel.Token);
            Warn(model, result);
            CheckLoss(model, artifact);
            Publish(model, artifact, wrapper, Complete(inputs, result));
            Log.LogMessage(
                MessageImportance.High,
                string.Create(CultureInfo.InvariantCulture, $"  {Path.GetFileName(model.Model)} -> {model.Link} ({result.GetProperty("recipe").GetString()}, {Megabytes(result, "input_bytes")} -> {Megabytes(result, "output_bytes")} MB, {Stopwatch.GetElapsedTime(start).TotalSeconds:0.0} s)"));
        }
        finally
        {
            Directory.Delete(work, recursive: true);
        }
    }

    private static string Megabytes(JsonElement result, string name) => (result.GetProperty(name).GetDouble() / 1e6).ToString("0.00", CultureInfo.InvariantCulture);

    /// <summary>With the files that only the tool knows of, such as external data.</summary>
    private CompileStamp Complete(CompileStamp inputs, JsonElement result)
    {
        var known = inputs.Files.Select(f => f.Path).ToHashSet(StringComparer.Ordinal);
        string[] more = [.. result.GetProperty("input_files").EnumerateArray().Select(f => Path.GetFullPath(f.GetString()!)).Where(f => !known.Contains(f))];
        CompileStamp rest = CompileStamp.Of(more, TimeProvider.System, _cancel.Token);
        return inputs with { Inputs = [.. inputs.Inputs, .. rest.Inputs], Files = [.. inputs.Files.Concat(rest.Files).OrderBy(f => f.Path, StringComparer.Ordinal)] };
    }

    private void Warn(PlannedModel model, JsonElement result)
    {
        foreach (JsonElement warning in result.GetProperty("warnings").EnumerateArray())
        {
            Diagnostics.Warning(Log, ErrorCodes.CompileWarning, model.Model, warning.GetString()!);
        }
    }

    /// <summary>Recipes that search for a loss were held to it by the tool; others are measured here.</summary>
    private void CheckLoss(PlannedModel model, string artifact)
    {
        if (model.MaxLoss is not double limit)
        {
            return;
        }

        double loss = MeasuredLoss.Data(model.Calibration).Average(data =>
            MeasuredLoss.Of(ToolProcess.Run(Host, Tool, ["eval", artifact, "--reference", model.Model, .. data], _cancel.Token)));
        if (!(loss <= limit))
        {
            throw new ToolException(
                ErrorCodes.LossTooLarge.ToString(), null, string.Create(CultureInfo.InvariantCulture, $"loses {loss * 100:0.###} % on {Path.GetFileName(model.Calibration)}, MaxLoss is {limit * 100:0.###} %"));
        }

        Log.LogMessage(MessageImportance.Normal, string.Create(CultureInfo.InvariantCulture, $"  {Path.GetFileName(model.Model)} loses {loss * 100:0.###} %"));
    }

    /// <summary>In an order that never leaves a stamp beside files it does not speak of.</summary>
    private void Publish(PlannedModel model, string artifact, string wrapper, CompileStamp stamp)
    {
        File.Delete(model.Stamp);
        File.Move(artifact, model.Artifact, overwrite: true);
        File.Delete(model.Wrapper);
        var outputs = new SortedDictionary<string, long>(StringComparer.Ordinal) { [model.Artifact] = new FileInfo(model.Artifact).Length };
        if (File.Exists(wrapper))
        {
            File.Move(wrapper, model.Wrapper);
            outputs[model.Wrapper] = new FileInfo(model.Wrapper).Length;
        }

        (stamp with { Outputs = outputs, ClassesAsked = WriteClasses }).Write(model.Stamp);
    }
}
