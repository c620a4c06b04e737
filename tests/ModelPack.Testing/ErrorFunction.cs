namespace ModelPack.Testing;

/// <summary>The error function in f64, for references.</summary>
public static class ErrorFunction
{
    /// <summary>2 / sqrt(pi) times the integral of exp(-t^2) from 0, by Simpson's rule; beyond 6 it is 1 to all digits.</summary>
    public static double Of(double z)
    {
        const int steps = 400;
        double end = Math.Clamp(z, -6, 6);
        double h = end / steps;
        double sum = 1 + Math.Exp(-end * end);
        for (int i = 1; i < steps; i++)
        {
            sum += (i % 2 == 1 ? 4 : 2) * Math.Exp(-h * i * h * i);
        }

        return sum * h / 3 * 2 / Math.Sqrt(Math.PI);
    }
}
