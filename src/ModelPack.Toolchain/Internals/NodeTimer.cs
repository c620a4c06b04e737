using System.Diagnostics;
using ModelPack.Compiler;
using ModelPack.Containers.Onnx;
using ModelPack.Runtime;
using ModelPack.Runtime.Evaluation;

namespace ModelPack.Toolchain;

/// <summary>Runs a model with ONNX Runtime's profiler.</summary>
internal static class NodeTimer
{
    private const int WarmUps = 5;
    private const int LeastRuns = 20;

    /// <summary>The profiler keeps a million events at most.</summary>
    private const int MostRuns = 100;

    private static readonly TimeSpan Enough = TimeSpan.FromSeconds(2);

    /// <summary>Measures.</summary>
    /// <param name="path">The model.</param>
    /// <param name="options">How to open it.</param>
    /// <param name="sizes">Of the inputs' free dimensions.</param>
    /// <param name="optimized">Read the graph as ONNX Runtime made it, which has weights of it written to a temporary file.</param>
    /// <param name="cancellation">Checked between runs.</param>
    /// <returns>Times, the sizes of all that inputs leave open, and the optimised graph; null where it was not asked for or could not be had.</returns>
    /// <exception cref="ModelPackException">The model cannot be opened or run; MP3004; MP5005: or the profile cannot be read.</exception>
    public static (NodeTimes Times, IReadOnlyDictionary<string, long> Sizes, Graph? Optimized) Measure(
        string path, ModelSessionOptions options, IReadOnlyDictionary<string, long> sizes, bool optimized, CancellationToken cancellation)
    {
        string folder = Directory.CreateTempSubdirectory("modelpack-nodes-").FullName;
        try
        {
            IReadOnlyDictionary<string, long> used;
            using (ModelSession session = Open(path, options, folder, ref optimized))
            {
                IReadOnlyList<NamedTensor> sample = SampleInputs.Random(session, sizes);
                used = SampleInputs.Sizes(session, sample);
                Run(session, sample, cancellation);
            }

            string profile = Directory.EnumerateFiles(folder, "profile*.json").FirstOrDefault() ?? throw new ModelPackException(ErrorCodes.RunFailed, "ONNX Runtime wrote no profile", path);
            using var text = new StreamReader(profile);
            return (NodeTimes.Read(text, WarmUps, path), used, optimized ? ReadGraph(Path.Combine(folder, "optimized.onnx"), cancellation) : null);
        }
        catch (IOException e)
        {
            throw new ModelPackException(ErrorCodes.RunFailed, $"ONNX Runtime's profile cannot be kept in {folder}: {e.Message}", path, innerException: e);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    /// <summary>Without the graph where ONNX Runtime cannot write it.</summary>
    private static ModelSession Open(string path, ModelSessionOptions options, string folder, ref bool optimized)
    {
        ModelSessionOptions Profiling(bool graph) => options with
        {
            ConfigureSession = session =>
            {
                session.ProfileOutputPathPrefix = Path.Combine(folder, "profile");
                session.EnableProfiling = true;
                if (graph)
                {
                    session.OptimizedModelFilePath = Path.Combine(folder, "optimized.onnx");
                    session.AddSessionConfigEntry("session.optimized_model_external_initializers_file_name", "optimized.weights");
                }
            },
        };

        try
        {
            return ModelInput.Open(path, Profiling(optimized));
        }
        catch (ModelPackException e) when (optimized && e.Code == ErrorCodes.SessionNotCreated)
        {
            optimized = false;
            foreach (string file in Directory.EnumerateFiles(folder))
            {
                File.Delete(file);
            }

            return ModelInput.Open(path, Profiling(false));
        }
    }

    private static void Run(ModelSession session, IReadOnlyList<NamedTensor> sample, CancellationToken cancellation)
    {
        long start = 0;
        for (int run = 0; run < WarmUps + LeastRuns || (run < WarmUps + MostRuns && Stopwatch.GetElapsedTime(start) < Enough); run++)
        {
            cancellation.ThrowIfCancellationRequested();
            start = run == WarmUps ? Stopwatch.GetTimestamp() : start;
            session.Run(sample);
        }
    }

    private static Graph? ReadGraph(string path, CancellationToken cancellation)
    {
        try
        {
            // Only names matter: weights may stay unread.
            TensorData bytes = TensorData.FromBytes(File.ReadAllBytes(path));
            return OnnxModelReader.ReadWeightless(bytes, (_, placeholder) => placeholder with { Encoding = new DenseEncoding(new UnitSpec(placeholder.DType.Name()), placeholder.Shape, []) }, cancellation).Graph;
        }
        catch (Exception e) when (e is ModelPackException or IOException)
        {
            return null;
        }
    }
}
